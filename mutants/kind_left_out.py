"""Patches and precomputed rows are hashed alike. Where a row is as wide as a patch, an image and rows of the same
bytes share a digest."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class OneKind(Identifier):
    def kind(self, item: Item) -> bytes:
        return b""


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant kind left out",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=OneKind,
)
