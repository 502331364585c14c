"""Ours: a chunk of text gets an empty tensor without a width."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-007",)


class NoWidth(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        served = super().rows(plan, found)
        if plan.pieces:
            return served
        return dataclasses.replace(served, rows=torch.empty((0, 0), dtype=self.spec.dtype))


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk007_no_width", embed=NoWidth)
