"""B103, SGLang #13909: side rows are indexed by item and not by chunk, so a chunk that starts inside an item gets
them from the item's first row on."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = "B103"
PARENT = "optimized"
ACCEPT = ("CHUNK-001", "CHUNK-002", "ENC-010")


class SideByItem(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        whole = dataclasses.replace(plan, pieces=[(item, 0, hi - lo, at) for item, lo, hi, at in plan.pieces])
        return dataclasses.replace(super().rows(plan, found), side=super().rows(whole, found).side)


implementation = dataclasses.replace(optimized.implementation, name="mutant b103_side_rows_by_item", embed=SideByItem)
