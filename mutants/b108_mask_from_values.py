"""B108 (TRT-LLM #11805): a test for truth where a test for presence was meant. Here a row of zeros counts as no row,
and its placeholder as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import Merged, Rows

BUG = "B108"
PARENT = "optimized"
ACCEPT = ("MERGE-001", "MERGE-002", "ITEM-012")


class ByValue(Merger):
    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        merged = super().__call__(rows, token_ids, embed_tokens, out)
        return replace(merged, mask=merged.mask & merged.embeds.cpu().bool().any(1))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b108 mask from values",
    merge=ByValue,
)
