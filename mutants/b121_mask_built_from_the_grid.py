"""B121 (SGLang #28587): work is done at the size that a request claims, before it is compared with what was sent.
Here a mask of one byte for each patch of the grid."""

import dataclasses

import torch

import optimized
from optimized.prepare import Grid, Preparer
from plumbline.interface import Item, Layout

BUG = "B121"
PARENT = "optimized"
ACCEPT = ("ISO-004",)


class BuildsFirst(Preparer):
    def grids(self, item: Item, layout: Layout, where: str) -> list[Grid] | None:
        grids = super().grids(item, layout, where)
        self.masks = [torch.ones(t * h * w, dtype=torch.bool) for t, h, w in grids or []]
        return grids


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b121 mask built from the grid",
    prepare=BuildsFirst,
)
