"""TensorRT-LLM #14020 (merged), #13713 (readiness consensus): ranks decide by values of their own (how far local transfers
are) what is done next in a step that all of them share; the values agree for hundreds of steps, then differ once.

Here the items whose payloads are at hand are dealt out first, so that no rank begins with one that is on its way or gone. But
``ready`` is what this rank sees. Where ranks see different things they deal out differently: an item is encoded twice, another
by nobody, and the blocks that are gathered have other sizes than the ranks expect of each other.

Shows: two ranks, a step that encodes at least two items, of which one is not ready on one rank and is on the other (its place
taken back between the two looks; its worker declared lost on one rank and not yet on the other; a closed subscriber).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-002", "RANK-003", "RANK-005")


class ReadyFirst(SharedEncoder):
    def owners(self, items: Sequence[Item]) -> list[int]:
        costs = [self.cost(item) for item in items]
        loads, owners = [0] * self.ranks.size, [0] * len(items)
        for index in sorted(range(len(items)), key=lambda index: (not ready(items[index]), -costs[index], index)):
            owners[index] = loads.index(min(loads))
            loads[owners[index]] += costs[index]
        return owners


def ready(item: Item) -> bool:
    parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
    return all(part is not None and (isinstance(part, Tensor) or part.ready()) for part in parts)


class ReadyFirstEmbedder(Embedder):
    sharing = ReadyFirst


implementation = dataclasses.replace(optimized.implementation, name="mutant ready_here_first", embed=ReadyFirstEmbedder)
