"""Ours: who encodes what depends on what this rank has done so far, which the others do not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "RANK-002",
    "RANK-003",
)


class ByLoad(SharedEncoder):
    done = 0

    def owners(self, items: Sequence[Item]) -> list[int]:
        owners = super().owners(items)
        turned = [(owner + self.done) % self.ranks.size for owner in owners]
        self.done += turned.count(self.ranks.rank)
        return turned


class Shares(Embedder):
    sharing = ByLoad


implementation = dataclasses.replace(optimized.implementation, name="mutant rank002_shares_by_own_load", embed=Shares)
