"""B026's kin: a change of epoch leaves the rows that requests hold, and a request that comes next shares them."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder

BUG = "B026"
PARENT = "optimized"
ACCEPT = ("EPOCH-001",)


class Survive(Embedder):
    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


implementation = dataclasses.replace(
    optimized.implementation, name="mutant epoch001_shared_rows_survive", embed=Survive
)
