"""B112 (SGLang #27863): all ids are looked up and the rows of images written over the result, so an id beyond the
vocabulary reads past the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import optimized
from optimized.merge import Merger

BUG = "B112"
PARENT = "optimized"
ACCEPT = ("MERGE-002",)


class LooksUpAll(Merger):
    def text(self, token_ids: Tensor, mask: Any, embed_tokens: Callable[[Tensor], Tensor]) -> Tensor:
        super().text(token_ids, mask, embed_tokens)
        return embed_tokens(token_ids.to(self.port.device))[~torch.from_numpy(mask)]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b112 placeholders looked up",
    merge=LooksUpAll,
)
