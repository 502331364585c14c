"""Seed S5, SGLang #22858: where the standard name is missing, whatever else looks like a grid is taken for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

import optimized
from optimized.collect import GRIDS, Collector
from optimized.tokens import Integers
from plumbline.interface import Item, Modality

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-021",)


class Guesses(Collector):
    def bundle(self, modality: Modality, ids: Integers, processed: Mapping[str, Tensor], where: str) -> Item:
        if "grid_thws" in processed and GRIDS[modality] not in processed:
            processed = {**processed, GRIDS[modality]: processed["grid_thws"]}
        return super().bundle(modality, ids, processed, where)


implementation = dataclasses.replace(optimized.implementation, name="mutant s5_grid_of_another_name", collect=Guesses)
