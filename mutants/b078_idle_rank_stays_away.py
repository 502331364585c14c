"""B078, SGLang #18721: a rank that has nothing to encode leaves early, and the others wait for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, EncodingFailed, Item, PlumblineError

BUG = "B078"
PARENT = "optimized"
ACCEPT = ("RANK-002",)


class Leaves(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        if self.ranks.rank not in self.owners(items):
            return [EncodingFailed("nothing to do here")] * len(items)
        return super().encode(items)


class Shares(Embedder):
    sharing = Leaves


implementation = dataclasses.replace(optimized.implementation, name="mutant b078_idle_rank_stays_away", embed=Shares)
