"""The result is computed beside the output buffer, and copied into it only where there are rows: a step of text
returns what the buffer held."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import Merged, Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-005", "MERGE-001")


class StaleOut(Merger):
    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        merged = super().__call__(rows, token_ids, embed_tokens)
        if out is None:
            return merged
        if merged.mask.any():
            out.copy_(merged.embeds)
        return replace(merged, embeds=out)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant out buffer returned stale",
    merge=StaleOut,
)
