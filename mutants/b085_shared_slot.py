"""B085 (llama.cpp #28656) in kind: results of one size share a mutable buffer, so that of two such chunks in one
step the first gets the rows of the second, and of the levels of one chunk the main rows get the side rows."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Cache, Encoder, Rows, Runtime

BUG = "B085"
PARENT = "optimized"
ACCEPT = ("ENC-001", "ENC-010", "ITEM-001")


class SharedSlot(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.slots: dict[int, Tensor] = {}

    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        served = super().rows(plan, found)
        if len(plan.pieces) < 2:
            return served
        slot = self.slots.setdefault(len(served.rows), torch.empty_like(served.rows))
        return dataclasses.replace(served, rows=slot.copy_(served.rows))


implementation = dataclasses.replace(optimized.implementation, name="mutant b085_shared_slot", embed=SharedSlot)
