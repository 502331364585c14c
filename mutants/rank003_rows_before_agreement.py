"""Ours: rows travel first, as many as there should be, and only then the ranks say what failed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-003",)


class Hasty(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        owners = self.owners(items)
        counts = [0] * self.ranks.size
        for item, owner in zip(items, owners, strict=True):
            counts[owner] += sum(hi - lo for lo, hi in item.spans)
        self.ranks.gather(self.nothing.new_zeros((counts[self.ranks.rank], self.spec.hidden_size)), counts)
        return super().encode(items)


class Shares(Embedder):
    sharing = Hasty


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank003_rows_before_agreement", embed=Shares
)
