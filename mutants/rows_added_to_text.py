"""After B108 (TRT-LLM #12782): rows are added onto the embedding of the placeholder instead of taking its place,
right as long as that is zero."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import Merged, Rows

BUG = "B108"
PARENT = "optimized"
ACCEPT = ("MERGE-001",)


class Adds(Merger):
    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        merged = super().__call__(rows, token_ids, embed_tokens, out)
        looked_up = embed_tokens(token_ids.clamp(0, self.spec.vocab_size - 1).to(self.port.device))
        merged.embeds.add_(torch.where(merged.mask.to(self.port.device)[:, None], looked_up, 0))
        return merged


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant rows added to text",
    merge=Adds,
)
