"""Ours: a chunk of text gets an empty tensor without a width."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import optimized
from optimized.embed import Embedder

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-007",)


class NoWidth(Embedder):
    def join(self, pieces: list[Tensor]) -> Tensor:
        return super().join(pieces) if pieces else torch.empty((0, 0), dtype=self.spec.dtype, device=self.device)


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk007_no_width", embed=NoWidth)
