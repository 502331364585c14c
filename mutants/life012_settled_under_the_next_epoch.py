"""Ours: rows enter the cache under the epoch in which their step is settled, and the weights changed meanwhile."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Known
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-001", "LIFE-012", "CACHE-002")


class NextEpoch(Embedder):
    def admit_rows(self, known: Known) -> Encoded | None:
        known.epoch = self.epoch
        return super().admit_rows(known)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life012_settled_under_the_next_epoch", embed=NextEpoch
)
