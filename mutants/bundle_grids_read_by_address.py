"""B037's kin (vLLM #16492): the grid of an image is cut out of the bundle's by address, as if its rows lay side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-001",)


class ByAddress(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        for index, image in enumerate(super().split(item, layout, where)):
            grid = item.grid_thw
            if grid is None or grid.shape[0] == 1:
                yield image
                continue
            at = grid.storage_offset() + 3 * index
            end = grid.untyped_storage().nbytes() // 8
            yield dataclasses.replace(image, grid_thw=torch.as_strided(grid, (1, 3), (3, 1), min(at, end - 3)))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant bundle grids read by address",
    prepare=ByAddress,
)
