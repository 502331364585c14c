"""vLLM #39544: requests share the rows of one image, and the first of them that ends takes the rows with it. The others encode
it again, or find nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import optimized
from optimized.embed import Admitted, Embedder

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-003",)


class TakesThemAlong(Embedder):
    def _drop(self, request: Admitted, items: Iterable[int]) -> None:
        for item in items:
            known = request.held.pop(item)
            known.holders -= 1
            if self._held.get(known.key) is known:
                del self._held[known.key]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant chunk003_shared_rows_end_with_the_first", embed=TakesThemAlong
)
