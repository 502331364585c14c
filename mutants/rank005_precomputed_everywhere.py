"""Ours: precomputed rows need no tower, so every rank opens them for itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Cache, Encoded, Encoder, Item, PlumblineError, Runtime, Source

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
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        if isinstance(self.encoder, SharedEncoder):
            self.encoder = Partly(runtime, encoder, self.encoder.ranks)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank005_precomputed_everywhere", embed=Shares
)
