"""B097's kin (vLLM #23366): precomputed rows of videos are counted with all of their frames, also where the frames share
their rows."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.prepare import Grid, Preparer
from plumbline.interface import Item, Layout, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-002", "ITEM-014", "ISO-001")


class AllFrames(Preparer):
    def counts(
        self, item: Item, layout: Layout, parts: tuple[Tensor, ...], grids: list[Grid] | None
    ) -> tuple[list[int], list[int]]:
        sizes, rows = super().counts(item, layout, parts, grids)
        if grids is not None and item.source is Source.PRECOMPUTED:
            sizes = [t * h * w // layout.merge**2 for t, h, w in grids]
        return sizes, rows


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant pooled rows cut by all frames",
    prepare=AllFrames,
)
