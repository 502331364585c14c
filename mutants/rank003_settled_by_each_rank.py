"""Ours: a lost lease is known to the rank that read it, and the others keep the rows."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Cache, Encoder, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-003",)


class Alone(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.ranks = None


implementation = dataclasses.replace(optimized.implementation, name="mutant rank003_settled_by_each_rank", embed=Alone)
