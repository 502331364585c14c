"""Ours: placeholders after the last row of the last image are left to nobody, so that the model answers from noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from torch import Tensor

import optimized
from optimized.collect import GRIDS, Collector
from optimized.tokens import Integers
from plumbline.interface import Item, Modality, RowCountMismatch

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-022",)


class IgnoresSurplus(Collector):
    def bundle(self, modality: Modality, ids: Integers, processed: Mapping[str, Tensor], where: str) -> Item:
        try:
            return super().bundle(modality, ids, processed, where)
        except RowCountMismatch:
            layout, grid = self.spec.layouts[modality], processed[GRIDS[modality]]
            if len(grid) > len(ids):
                raise
            positions = np.flatnonzero(ids == layout.placeholder_id)
            ids = ids.copy()
            ids[positions[int(self.rows(grid.cpu().numpy(), layout, where).sum()) :]] = -1
            return super().bundle(modality, ids, processed, where)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant prep022_surplus_placeholders_ignored", collect=IgnoresSurplus
)
