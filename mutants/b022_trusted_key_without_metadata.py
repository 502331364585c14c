"""B022 (vLLM #55547): the caller's uuid alone is the key, so an image of another size under the same uuid gets the
first image's rows, and the engine dies of their number."""

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item, Trust

BUG = "B022"
PARENT = "optimized"
ACCEPT = ("IDENT-008",)


class KeyAlone(Identifier):
    def fields(self, item: Item) -> Iterator[bytes]:
        fields = list(super().fields(item))
        given = self.given(item)
        return iter(fields[-3:] if given is not None and given.trust is Trust.TRUSTED else fields)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b022 trusted key without metadata",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=KeyAlone,
)
