"""B053, SGLang #31596: a rank gives its rows where its inputs lie. One without inputs knows no device, and gives what it does not
have on the CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = "B053"
PARENT = "optimized"
ACCEPT = ("RANK-008",)


class WhereTheInputWas(SharedEncoder):
    def encoded(self, items: Sequence[Item]) -> tuple[list[Encoded | PlumblineError], Tensor]:
        results, block = super().encoded(items)
        return results, block if items else torch.empty(block.shape, dtype=block.dtype)


class Shares(Embedder):
    sharing = WhereTheInputWas


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b053_gathered_where_the_input_was", embed=Shares
)
