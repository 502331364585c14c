"""MSLK #303 in kind: positions wrap in a prompt of more than 65,536 tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-006",)


class Wraps(Embedder):
    def rows(self, plan: Plan, found: Mapping[Key, Known]) -> Rows:
        made = super().rows(plan, dict(found))
        if plan.chunk.hi <= 1 << 16:
            return made
        return Rows(made.request_id, made.lo, made.hi, made.positions % (1 << 16), made.rows, made.side)


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk006_positions_of_16_bits", embed=Wraps)
