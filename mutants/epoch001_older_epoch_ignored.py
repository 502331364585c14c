"""vLLM #44939 in kind: an adapter is swapped and swapped back, and the smaller number is taken for old news."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder

BUG = "B025"
PARENT = "optimized"
ACCEPT = (
    "EPOCH-001",
    "CACHE-002",
)


class OnlyForward(Embedder):
    def set_epoch(self, epoch: int) -> None:
        if epoch > self.epoch:
            super().set_epoch(epoch)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant epoch001_older_epoch_ignored", embed=OnlyForward
)
