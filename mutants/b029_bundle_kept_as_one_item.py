"""B029 (SGLang #11785): a processor's bundle stays one item with one hash for all of its images, so there is one
cache entry for all."""

import dataclasses
import struct
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = "B029"
PARENT = "optimized"
ACCEPT = ("PREP-001", "PREP-004")


class OneHash(Identifier):
    def grid(self, item: Item) -> bytes:
        numbers = [] if item.grid_thw is None else item.grid_thw.flatten().tolist()
        return struct.pack(f"<{len(numbers)}q", *numbers)


class OneItem(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        images = list(super().split(item, layout, where))
        return iter(images if len(images) == 1 or item.extras or item.given else [item])


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b029 bundle kept as one item",
    identify=OneHash,
    prepare=OneItem,
)
