"""A grid is judged by the number of its patches, so minus two by minus three is as good as two by three."""

import dataclasses
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.prepare import Grid, Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-007",)


class Unsigned(Preparer):
    def grids(self, item: Item, layout: Layout, where: str) -> list[Grid] | None:
        grid = item.grid_thw
        if isinstance(grid, Tensor) and grid.dim() == 2 and grid.shape[1] == 3 and (grid.prod(1) > 0).all():
            item = replace(item, grid_thw=grid.abs())
        return super().grids(item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant grid sign unchecked",
    prepare=Unsigned,
)
