"""B045 (verifiers #1653) and SGLang's embedding input: more rows than placeholders are not refused, and the last
ones are dropped to fit."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.prepare import Grid, Preparer
from plumbline.interface import Item, Layout

BUG = "B045"
PARENT = "optimized"
ACCEPT = ("ITEM-002",)


class Truncating(Preparer):
    def counts(
        self, item: Item, layout: Layout, parts: tuple[Tensor, ...], grids: list[Grid] | None
    ) -> tuple[list[int], list[int]]:
        sizes, rows = super().counts(item, layout, parts, grids)
        places = sum(hi - lo for lo, hi in item.spans)
        return sizes, [places] if len(rows) == 1 and rows[0] > places else rows


implementation = dataclasses.replace(optimized.implementation, name="mutant item002_last_rows_kept", prepare=Truncating)
