"""B085 (llama.cpp #28656) in kind: results of one size share a mutable buffer, so that of two such chunks in one
step the first gets the rows of the second, and of the levels of one chunk the main rows get the side rows."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import optimized
from optimized.embed import Embedder
from plumbline.interface import Cache, Encoder, Runtime

BUG = "B085"
PARENT = "optimized"
ACCEPT = ("ENC-001", "ENC-010", "ITEM-001")


class SharedSlot(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.slots: dict[int, Tensor] = {}

    def join(self, pieces: list[Tensor]) -> Tensor:
        joined = super().join(pieces)
        if len(pieces) < 2:
            return joined
        slot = self.slots.setdefault(len(joined), torch.empty_like(joined))
        return slot.copy_(joined)


implementation = dataclasses.replace(optimized.implementation, name="mutant b085_shared_slot", embed=SharedSlot)
