"""B079, SGLang #36802: the tower meets all ranks each time it runs, and those with nothing to encode do not run it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = "B079"
PARENT = "optimized"
ACCEPT = ("RANK-002",)


class Meets(SharedEncoder):
    def encoded(self, items: Sequence[Item]) -> tuple[list[Encoded | PlumblineError], Tensor]:
        if items:
            self.ranks.agree(torch.zeros(1, dtype=torch.int64))
        return super().encoded(items)


class Shares(Embedder):
    sharing = Meets


implementation = dataclasses.replace(optimized.implementation, name="mutant b079_tower_calls_the_others", embed=Shares)
