"""Ours: levels are counted from the main rows, so side level 0 is the main rows again and the last level is lost."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-010",)


class OneLevelLate(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        served = super().rows(plan, found)
        return dataclasses.replace(served, side=(served.rows, *served.side)[: self.spec.side_levels])


implementation = dataclasses.replace(optimized.implementation, name="mutant enc010_side_from_main", embed=OneLevelLate)
