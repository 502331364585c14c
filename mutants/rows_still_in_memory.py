"""LMCache #1379, #1467 (tensor-parallel ranks look up for themselves and find different hits); pytorch #195500, #119215 (what
ranks do together must not hang on when Python lets go of an object on each).

Carried over: before an item is encoded again, rows of it that the cache does not have, but that are still in memory, are
used: a weak dictionary keeps nobody alive and costs nothing. Epochs and lost leases are told apart, so that rows are always
right. Shows: several ranks, one of which keeps a step object longer than the others (in a log, in a traceback, in a cycle
that is not collected yet), and a later step that needs an image of it which the cache refused, evicted or never had. That
rank misses nothing, or less, and stays out of the encoding's collectives, or enters them with other sizes: a hang until
RanksLost. One rank, or ranks that drop their steps alike, are right.
"""

from __future__ import annotations

import dataclasses
from weakref import WeakValueDictionary

import optimized
from optimized.embed import Admitted, Embedder, Key, Known
from plumbline.interface import Cache, Encoded, Encoder, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-002",)


class RecentEmbedder(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self._alive: WeakValueDictionary[tuple[Key, int], Known] = WeakValueDictionary()

    def _fresh(self, key: Key, request: Admitted, index: int, encoded: Encoded) -> Known:
        known = super()._fresh(key, request, index, encoded)
        self._alive[key, known.epoch] = known
        return known

    def _cached(self, request: Admitted, index: int) -> Known | None:
        known = super()._cached(request, index)
        if known is None:
            known = self._alive.get((request.keys[index], self.epoch))
        return known if known is None or known.lost is None else None


implementation = dataclasses.replace(optimized.implementation, name="mutant rows_still_in_memory", embed=RecentEmbedder)
