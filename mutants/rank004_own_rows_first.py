"""Ours: each rank deals out its own rows first and then those of its neighbours around the ring, to items of as many rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import Outcome, SharedEncoder
from plumbline.interface import Encoded, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-004",)


class OwnFirst(SharedEncoder):
    def split(
        self, agreed: Sequence[Outcome], owners: Sequence[int], blocks: Sequence[Tensor]
    ) -> list[Encoded | PlumblineError]:
        results = super().split(agreed, owners, blocks)
        came: dict[int, list[Encoded]] = {}
        for index in sorted(range(len(results)), key=lambda index: (owners[index] - self.ranks.rank) % self.ranks.size):
            result = results[index]
            if isinstance(result, Encoded):
                came.setdefault(len(result.rows), []).append(result)
        return [came[len(one.rows)].pop(0) if isinstance(one, Encoded) else one for one in results]


class Shares(Embedder):
    sharing = OwnFirst


implementation = dataclasses.replace(optimized.implementation, name="mutant rank004_own_rows_first", embed=Shares)
