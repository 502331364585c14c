"""Height and width are not asked to be divisible by the merge size, so patches at the edge are merged with those of
the next line, or lost."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.prepare import Grid, Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-007",)


class Indivisible(Preparer):
    def grids(self, item: Item, layout: Layout, where: str) -> list[Grid] | None:
        return super().grids(item, replace(layout, merge=1), where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant grid divisibility unchecked",
    prepare=Indivisible,
)
