"""The number of patches is computed in int64, where 2^32 times 2^32 is zero and a well-chosen grid has any number of
patches that one likes."""

import dataclasses

from torch import Tensor

import optimized
from optimized.prepare import Grid, Preparer
from plumbline.interface import BadGrid, Item, Layout, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-007",)


class Wraps(Preparer):
    def grids(self, item: Item, layout: Layout, where: str) -> list[Grid] | None:
        try:
            return super().grids(item, layout, where)
        except BadGrid:
            grid = item.grid_thw
            if (
                not layout.has_grid
                or not isinstance(grid, Tensor)
                or str(grid.dtype) != "torch.int64"
                or grid.dim() != 2
            ):
                raise
            if grid.shape[1] != 3 or (grid <= 0).any() or (grid[:, 1:] % layout.merge).any():
                raise
            if (grid.prod(1) > 1 << 31).any():
                raise
            return [(t, h, w) for t, h, w in grid.tolist()]

    def counts(
        self, item: Item, layout: Layout, parts: tuple[Tensor, ...], grids: list[Grid] | None
    ) -> tuple[list[int], list[int]]:
        if grids is None or item.grid_thw is None:
            return super().counts(item, layout, parts, grids)
        patches = item.grid_thw.prod(1).tolist()
        rows = [count // layout.merge**2 for count in patches]
        return (rows if item.source is Source.PRECOMPUTED else patches), rows


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant grid product wraps",
    prepare=Wraps,
)
