"""Ours: items are encoded and gathered one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Cache, Encoded, Encoder, Item, PlumblineError, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-006",)


class OneByOne(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        return [result for item in items for result in super(OneByOne, self).encode([item])]


class Shares(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        if isinstance(self.encoder, SharedEncoder):
            self.encoder = OneByOne(runtime, encoder, self.encoder.ranks)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank006_one_gathering_for_each_item", embed=Shares
)
