"""Ours: rows and positions come item by item as listed, which is ascending only while items lie in that order."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-006",)


class ByItem(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        served = super().rows(plan, found)
        owners = [item for item, lo, hi, _ in plan.pieces for _ in range(lo, hi)]
        order = torch.tensor(sorted(range(len(owners)), key=owners.__getitem__), dtype=torch.int64)
        side = tuple(level[order] for level in served.side)
        return dataclasses.replace(served, positions=served.positions[order], rows=served.rows[order], side=side)


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk006_by_item", embed=ByItem)
