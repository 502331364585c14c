"""Ours: items are encoded and gathered one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-006",)


class OneByOne(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        return [result for item in items for result in super(OneByOne, self).encode([item])]


class Shares(Embedder):
    sharing = OneByOne


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank006_one_gathering_for_each_item", embed=Shares
)
