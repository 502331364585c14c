"""vLLM-omni #7650 in kind: what does not fit is tried in smaller calls, and the next items are, too, for ever."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import EncodingFailed, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-002",)


class LosesHeart(PackingEncoder):
    def failure(self, item: Item, error: Exception) -> EncodingFailed:
        self.most_patches //= 2
        return super().failure(item, error)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc002_budget_halved_by_a_failure", encoder=LosesHeart
)
