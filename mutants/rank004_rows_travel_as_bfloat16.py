"""Ours: rows travel as bfloat16, since that is what the model computes in anyway."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import Outcome, SharedEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-004",)


class Narrow(SharedEncoder):
    def gathered(self, block: Tensor, agreed: Sequence[Outcome], owners: Sequence[int]) -> list[Tensor]:
        return [one.to(block.dtype) for one in super().gathered(block.to(torch.bfloat16), agreed, owners)]


class Shares(Embedder):
    sharing = Narrow


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank004_rows_travel_as_bfloat16", embed=Shares
)
