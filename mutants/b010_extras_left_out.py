"""B010 (TRT-LLM #14603): the metadata of a video, its sampling rate above all, was not hashed, and the KV of another
sampling was reused."""

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B010"
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class WithoutExtras(Identifier):
    def extras(self, item: Item) -> Iterator[bytes]:
        list(super().extras(item))
        return iter(())


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b010 extras left out",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=WithoutExtras,
)
