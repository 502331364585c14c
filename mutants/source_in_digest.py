"""Where a payload was preprocessed is part of its hash, so the same patches from the engine and from the caller are
encoded twice."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-006",)


class SourceMatters(Identifier):
    def kind(self, item: Item) -> bytes:
        return item.source.value.encode()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant source in digest",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=SourceMatters,
)
