"""B031, SGLang #29010 in kind: only ranks that read a lazy payload meet to settle it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, Known
from plumbline.interface import Ranks

BUG = "B031"
PARENT = "optimized"
ACCEPT = ("RANK-002",)


class Meets(Embedder):
    def settle(self, waiting: Sequence[Known]) -> None:
        ranks = self.ranks
        if ranks is not None and not any(read_here(known, ranks) for known in waiting):
            self.ranks = None
        super().settle(waiting)
        self.ranks = ranks


def read_here(known: Known, ranks: Ranks) -> bool:
    return bool(known.features) and known.key[0][-1] % ranks.size == ranks.rank


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b031_settled_where_something_was_read", embed=Meets
)
