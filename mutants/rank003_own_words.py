"""Ours: the rank on which an item failed returns its own error, and the others what they heard of it."""

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


class OwnWords(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results = super().encode(items)
        own = [result.__cause__ if isinstance(result, PlumblineError) else None for result in results]
        return [
            cause if isinstance(cause, PlumblineError) else result for cause, result in zip(own, results, strict=True)
        ]


class Shares(Embedder):
    sharing = OwnWords


implementation = dataclasses.replace(optimized.implementation, name="mutant rank003_own_words", embed=Shares)
