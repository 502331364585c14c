"""Ours: every tower is believed to move its input, as the class at the top of the hierarchy did."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-002",)


class NeverMoves(PackingEncoder):
    def pack(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts)) if len(parts) > 1 else self.contiguous(parts[0])


implementation = dataclasses.replace(optimized.implementation, name="mutant move002_not_moved", encoder=NeverMoves)
