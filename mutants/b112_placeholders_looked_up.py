"""B112 (SGLang #27863): all ids are looked up and the rows of images written over the result, so an id beyond the
vocabulary reads past the table."""

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

import optimized
from optimized.merge import Merger

BUG = "B112"
PARENT = "optimized"
ACCEPT = ("MERGE-002",)


class LooksUpAll(Merger):
    def write_text(
        self, embeds: Tensor, token_ids: Tensor, mask: Any, embed_tokens: Callable[[Tensor], Tensor]
    ) -> None:
        super().write_text(embeds, token_ids, mask, embed_tokens)
        embeds.copy_(embed_tokens(self.on_device(token_ids)))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b112 placeholders looked up",
    merge=LooksUpAll,
)
