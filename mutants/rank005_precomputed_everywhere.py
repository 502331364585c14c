"""Ours: precomputed rows need no tower, so every rank opens them for itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, Item, PlumblineError, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-005",)


class Partly(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results = super().encode(items)
        given = [index for index, item in enumerate(items) if item.source is Source.PRECOMPUTED]
        opened = self.local.encode([items[index] for index in given])
        for index, result in zip(given, opened, strict=True):
            if isinstance(result, Encoded):
                results[index] = result
        return results


class Shares(Embedder):
    sharing = Partly


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank005_precomputed_everywhere", embed=Shares
)
