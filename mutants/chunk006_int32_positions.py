"""Ours: positions are int32, which indexes as well and is half the size."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-006",)


class Int32(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        served = super().rows(plan, found)
        return dataclasses.replace(served, positions=served.positions.to(torch.int32))


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk006_int32_positions", embed=Int32)
