"""Ours: a rank that had no memory for what the others send fails that step, and meets them again in the next one. They are
still in the gathering, and take its words for rows."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from optimized.ranks import Peers
from plumbline.interface import Cache, Encoder, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-007",)


class Forgets(Peers):
    def lose(self, error: Exception) -> None:
        super().lose(error)
        lost, self._lost = self._lost, None
        assert lost is not None
        raise lost


class Shares(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        if self.ranks is not None and runtime.ranks is not None:
            self.ranks = Forgets(runtime.ranks)
            self.encoder = self.sharing(runtime, encoder, self.ranks)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank007_enters_the_next_collective", embed=Shares
)
