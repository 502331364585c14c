"""After B108 (TRT-LLM #12782): rows are added onto the embedding of the placeholder instead of taking its place,
right as long as that is zero."""

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import Rows

BUG = "B108"
PARENT = "optimized"
ACCEPT = ("MERGE-001",)


class Adds(Merger):
    def write_text(
        self, embeds: Tensor, token_ids: Tensor, mask: Any, embed_tokens: Callable[[Tensor], Tensor]
    ) -> None:
        embeds.copy_(embed_tokens(self.on_device(token_ids.clamp(0, self.spec.vocab_size - 1))))

    def write_rows(self, embeds: Tensor, rows: Rows, offset: int) -> None:
        embeds.index_add_(0, self.on_device(rows.positions + offset), rows.rows)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant rows added to text",
    merge=Adds,
)
