"""After B112 (SGLang #27863): ids beyond the vocabulary are clamped for the lookup, in the tensor that the prompt is
kept in, so a retried step no longer has its placeholders."""

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

import optimized
from optimized.merge import Merger

BUG = "B112"
PARENT = "optimized"
ACCEPT = ("MERGE-003",)


class Clamps(Merger):
    def text(self, token_ids: Tensor, mask: Any, embed_tokens: Callable[[Tensor], Tensor]) -> Tensor:
        return super().text(token_ids.clamp_(max=self.spec.vocab_size - 1), mask, embed_tokens)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant ids clamped in place",
    merge=Clamps,
)
