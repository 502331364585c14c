"""B097, vLLM #23366: the placeholders of an image are counted by its grid without the merge factor."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.collect import Collector
from optimized.tokens import Integers
from plumbline.interface import Layout

BUG = "B097"
PARENT = "optimized"
ACCEPT = ("PREP-017", "PREP-018")


class CountsPatches(Collector):
    def rows(self, grid: Integers, layout: Layout, where: str) -> Integers:
        return super().rows(grid, dataclasses.replace(layout, merge=1), where)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b097_placeholders_by_patches", collect=CountsPatches
)
