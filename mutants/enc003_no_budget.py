"""B120, SGLang #6239: nothing bounds a batched encode, so all items of a step are one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Item

BUG = "B120"
PARENT = "optimized"
ACCEPT = ("ENC-003",)


class Unbounded(PackingEncoder):
    def batches(self, items: Sequence[Item], indexes: Sequence[int]) -> list[list[int]]:
        return [list(indexes)]


implementation = dataclasses.replace(optimized.implementation, name="mutant enc003_no_budget", encoder=Unbounded)
