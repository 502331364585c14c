"""B110 (mlx-vlm #2296): side rows are not cut to the batch row. Here those of the first request of a step stand for
all."""

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.merge import Merger
from optimized.rows import Slice
from plumbline.interface import Rows

BUG = "B110"
PARENT = "optimized"
ACCEPT = ("MERGE-004",)


class FirstOnly(Merger):
    def placed(self, rows: Sequence[Rows]) -> list[Slice]:
        self.first = super().placed(rows[:1])
        return super().placed(rows)

    def side(self, placed: Sequence[Slice]) -> tuple[Tensor, ...]:
        return super().side(self.first)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant side rows of first request",
    merge=FirstOnly,
)
