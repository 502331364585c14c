"""B010 (TRT-LLM #14603): a video and an image of the same patches and grid have one hash, though the tower reads them
differently."""

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B010"
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class WithoutModality(Identifier):
    def fields(self, item: Item) -> Iterator[bytes]:
        yield self.kind(item)
        yield self.grid(item)
        yield from self.payload(item)
        yield from self.extras(item)
        yield from self.caller_key(item)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b010 modality left out",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=WithoutModality,
)
