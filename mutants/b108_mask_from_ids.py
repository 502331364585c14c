"""B108 (TRT-LLM #14134): placeholders are recognised by ids beyond the vocabulary, so the mask is empty for a model
whose placeholder lies inside it."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import Merged, Rows

BUG = "B108"
PARENT = "optimized"
ACCEPT = ("MERGE-001", "MERGE-004")


class ById(Merger):
    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        merged = super().__call__(rows, token_ids, embed_tokens, out)
        return replace(merged, mask=token_ids >= self.spec.vocab_size)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b108 mask from ids",
    merge=ById,
)
