"""A grid on an item of a tile model is ignored, so a request for another model is answered by this one."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-007",)


class IgnoresGrid(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        return super().split(item if layout.has_grid else replace(item, grid_thw=None), layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant unexpected grid ignored",
    prepare=IgnoresGrid,
)
