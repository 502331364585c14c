"""B027 (vLLM #56432): with the cache off, a caller's key is overwritten by an id that this process counts up, so that the
process which encodes and the one which asks for the rows name one image differently."""

import dataclasses
from itertools import count

import optimized
from optimized.identify import Identifier
from plumbline.interface import CallerKey, Capability, Item, Runtime

BUG = "B027"
PARENT = "optimized"
ACCEPT = ("IDENT-002", "PREFIX-003")


class LocalIds(Identifier):
    numbers = count()

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.cached = runtime.budgets.cache_bytes > 0

    def given(self, item: Item) -> CallerKey | None:
        given = super().given(item)
        if given is None or self.cached:
            return given
        return dataclasses.replace(given, key=f"local-{next(self.numbers)}")


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b027 local ids without a cache",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=LocalIds,
)
