"""B078, SGLang #18721: a rank that has nothing to encode leaves early, and the others wait for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Cache, Encoded, Encoder, EncodingFailed, Item, PlumblineError, Runtime

BUG = "B078"
PARENT = "optimized"
ACCEPT = ("RANK-002",)


class Leaves(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        if self.ranks.rank not in self.owners(items):
            return [EncodingFailed("nothing to do here")] * len(items)
        return super().encode(items)


class Shares(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        if isinstance(self.encoder, SharedEncoder):
            self.encoder = Leaves(runtime, encoder, self.encoder.ranks)


implementation = dataclasses.replace(optimized.implementation, name="mutant b078_idle_rank_stays_away", embed=Shares)
