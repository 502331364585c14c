"""Ours: what is settled goes through a set of digests, whose order depends on the hash seed of the process. So ranks fill
their caches in different orders, and evict different rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, Known

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-003",)


class SetOrder(Embedder):
    def settle(self, waiting: Sequence[Known]) -> None:
        super().settle([known for key in {known.key for known in waiting} for known in waiting if known.key == key])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank003_settled_in_set_order", embed=SetOrder
)
