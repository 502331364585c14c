"""What was in the cache once is taken for cached, and not put there again after it was evicted."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known
from plumbline.interface import Cache, Encoded, Encoder, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-008",)


class OnlyOnce(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.kept: set[tuple[Key, int]] = set()

    def admit_rows(self, known: Known) -> Encoded | None:
        if (known.key, known.epoch) in self.kept:
            return None
        rows = super().admit_rows(known)
        if rows is not None:
            self.kept.add((known.key, known.epoch))
        return rows


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache008 kept once",
    embed=OnlyOnce,
)
