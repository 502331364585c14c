"""The values that are dealt out to the images are popped from the caller's mapping, so the same request, sent again,
has lost them."""

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-012",)


class Pops(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        images = list(super().split(item, layout, where))
        for name in [name for name, extra in item.extras.items() if extra.per_image]:
            if isinstance(item.extras, dict):
                item.extras.pop(name)
        return iter(images)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant per image extras popped",
    prepare=Pops,
)
