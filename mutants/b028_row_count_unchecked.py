"""B028, SGLang #32404: a cached entry is served whatever its number of rows."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key
from plumbline.interface import Encoded

BUG = "B028"
PARENT = "optimized"
ACCEPT = ("CACHE-007",)


class AnyCount(Embedder):
    def fits(self, encoded: Encoded, key: Key) -> bool:
        return True


implementation = dataclasses.replace(optimized.implementation, name="mutant b028_row_count_unchecked", embed=AnyCount)
