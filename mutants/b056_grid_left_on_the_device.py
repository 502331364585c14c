"""B056, SGLang #22858: the grid stays on the device on which the processor left it, and travels to every rank."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

import optimized
from optimized.collect import GRIDS, Collector
from optimized.tokens import Integers
from plumbline.interface import Item, Modality

BUG = "B056"
PARENT = "optimized"
ACCEPT = ("PREP-019",)


class LeavesGrids(Collector):
    def bundle(self, modality: Modality, ids: Integers, processed: Mapping[str, Tensor], where: str) -> Item:
        item = super().bundle(modality, ids, processed, where)
        return dataclasses.replace(item, grid_thw=processed[GRIDS[modality]])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b056_grid_left_on_the_device", collect=LeavesGrids
)
