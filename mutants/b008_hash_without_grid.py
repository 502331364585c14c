"""B008 (vLLM #17378, CVE-2025-46722): an image was hashed without its width and height, so 30 x 100 and 100 x 30
pixels of the same bytes were one image."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B008"
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class WithoutGrid(Identifier):
    def grid(self, item: Item) -> bytes:
        return super().grid(item) and b"grid"


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b008 hash without grid",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=WithoutGrid,
)
