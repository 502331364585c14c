"""B111 (vLLM #10388, llama.cpp #13394): a slice has its left end only. Rows come from the right place, and the
item's last ones where the chunk ends before the item does."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.embed import Embedder

BUG = "B111"
PARENT = "optimized"
ACCEPT = ("CHUNK-001",)


class LeftEnd(Embedder):
    def cut(self, rows: Tensor, lo: int, hi: int) -> Tensor:
        return rows[lo:][: hi - lo] if lo else rows[-(hi - lo) :]


implementation = dataclasses.replace(optimized.implementation, name="mutant b111_left_end_only", embed=LeftEnd)
