"""B089's kin (vLLM #46354): rows enter the cache when they are encoded, before the lease of their payload was
checked."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Admitted, Embedder, Key, Known
from plumbline.interface import Encoded

BUG = "B089"
PARENT = "optimized"
ACCEPT = ("CACHE-010",)


class Early(Embedder):
    def _fresh(self, key: Key, request: Admitted, index: int, encoded: Encoded) -> Known:
        known = super()._fresh(key, request, index, encoded)
        self.admit_rows(known)
        return known


implementation = dataclasses.replace(optimized.implementation, name="mutant cache010_kept_before_settle", embed=Early)
