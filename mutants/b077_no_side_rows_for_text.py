"""B077's kin (vLLM #43617): a chunk of text has no side rows at all, so that a graph is captured without their
branch."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = "B077"
PARENT = "optimized"
ACCEPT = ("CHUNK-007",)


class NoSide(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        served = super().rows(plan, found)
        return served if plan.pieces else dataclasses.replace(served, side=())


implementation = dataclasses.replace(optimized.implementation, name="mutant b077_no_side_rows_for_text", embed=NoSide)
