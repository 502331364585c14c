"""B045 (verifiers #1653) and SGLang's own repair: more rows than positions are cut to the last ones, with at most a
warning."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.identify import unusable
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout, Source

BUG = "B045"
PARENT = "optimized"
ACCEPT = ("ITEM-002",)


class Cuts(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        positions = sum(hi - lo for lo, hi in item.spans)
        rows = item.payload
        if item.source is Source.PRECOMPUTED and item.grid_thw is None and not unusable(rows):
            assert isinstance(rows, Tensor)
            item = replace(item, payload=rows[-positions:] if positions and rows.dim() else rows)
        return super().split(item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b045 rows cut to the spans",
    prepare=Cuts,
)
