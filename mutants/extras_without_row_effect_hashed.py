"""All extras are hashed, those too that the tower never reads: a file name or a request id in the key, and nothing
hits."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-005",)


class AllExtras(Identifier):
    def extras(self, item: Item) -> Iterator[bytes]:
        marked = {name: replace(extra, affects_rows=True) for name, extra in item.extras.items()}
        return super().extras(replace(item, extras=marked))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant extras without row effect hashed",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=AllExtras,
)
