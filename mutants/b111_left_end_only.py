"""B111 (vLLM #10388, llama.cpp #13394): a slice has its left end only. Rows come from the right place, and the
item's last ones where the chunk ends before the item does."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = "B111"
PARENT = "optimized"
ACCEPT = ("CHUNK-001",)


class LeftEnd(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        keys, pieces = plan.request.keys, []
        for item, lo, hi, at in plan.pieces:
            count = found[keys[item]].encoded.rows.shape[0]
            pieces.append((item, lo, hi, at) if lo else (item, count - hi, count, at))
        return super().rows(dataclasses.replace(plan, pieces=pieces), found)


implementation = dataclasses.replace(optimized.implementation, name="mutant b111_left_end_only", embed=LeftEnd)
