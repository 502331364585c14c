"""Ours: the rows of an item are counted by its patches, those of every frame, where the layout pools frames. Videos
are refused, and in a bundle an image takes the spans of the next."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.prepare import Grid, Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-014",)


class RowsOfAllFrames(Preparer):
    def counts(
        self, item: Item, layout: Layout, parts: tuple[Tensor, ...], grids: list[Grid] | None
    ) -> tuple[list[int], list[int]]:
        return super().counts(item, dataclasses.replace(layout, pools_frames=False), parts, grids)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant item014_rows_of_all_frames", prepare=RowsOfAllFrames
)
