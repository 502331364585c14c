"""Ours: what a collective raises leaves the step, and with it every request of the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, Item, PlumblineError, RanksLost

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-007",)


class Escapes(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results = super().encode(items)
        for result in results:
            if isinstance(result, RanksLost):
                raise result
        return results


class Shares(Embedder):
    sharing = Escapes


implementation = dataclasses.replace(optimized.implementation, name="mutant rank007_lost_ranks_escape", embed=Shares)
