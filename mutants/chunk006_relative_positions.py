"""Ours: positions are counted from the chunk's start. Prompts in one chunk look right."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-006",)


class Relative(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        served = super().rows(plan, found)
        return dataclasses.replace(served, positions=served.positions - plan.chunk.lo)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant chunk006_relative_positions", embed=Relative
)
