"""Ours: what the cache took is not what requests hold, which keep a copy of their own beside it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Known
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-012",)


class HoldsCopies(Embedder):
    def admit_rows(self, known: Known) -> Encoded | None:
        super().admit_rows(known)
        return None


implementation = dataclasses.replace(
    optimized.implementation, name="mutant cache012_held_beside_the_cache", embed=HoldsCopies
)
