"""Automodel #2990 in kind: a rank sends main rows and side rows item by item, and the others read them level by level."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-004", "ENC-010")


class ItemByItem(SharedEncoder):
    def block(self, results: Sequence[Encoded | PlumblineError]) -> Tensor:
        good = [(one.rows, *one.side) for one in results if isinstance(one, Encoded)]
        return torch.cat([self.nothing, *(level for levels in good for level in levels)])


class Shares(Embedder):
    sharing = ItemByItem


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank004_side_rows_item_by_item", embed=Shares
)
