"""After B110 (mlx-vlm #1332): every deeper layer is given the side rows of the first, which shows with two levels
only."""

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.merge import Merger
from optimized.rows import Slice

BUG = "B110"
PARENT = "optimized"
ACCEPT = ("MERGE-004",)


class OneLevel(Merger):
    def side(self, placed: Sequence[Slice]) -> tuple[Tensor, ...]:
        levels = super().side(placed)
        return levels[:1] * len(levels)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant side rows of first level",
    merge=OneLevel,
)
