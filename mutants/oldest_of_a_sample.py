"""Sampled eviction (agave #3943, merged: the oldest of a few random entries, as Redis does) where ranks mirror each other:
sglang #22759 (open; ranks evict different nodes, then deadlocks and shape mismatches), tokenspeed #248 (merged; eviction
breaks ties by what differs between processes, TP=4 hangs).

Carried over: a hit only notes the time of use; of five random entries the one that was used longest ago goes.

Shows with more than five entries in the cache when one has to go; up to five the order is exact. Then rows that were used
lately may go before older ones, and are encoded again. With ranks, each keeps other rows and misses other items in the next
step: collectives no longer match, and the ranks hang or are lost.
"""

from __future__ import annotations

import dataclasses
from itertools import count
from random import Random

import optimized
from optimized.cache import Key, LruCache
from plumbline.interface import Encoded, Identity, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-016", "CACHE-011")

SAMPLE = 5


class SampledCache(LruCache):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.clock = count()
        self.used: dict[Key, int] = {}
        self.random = Random()

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        key = self.key(identity, epoch)
        entry = self._entries.get(key)
        if entry is not None:
            self.used[key] = next(self.clock)
        return entry

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        kept = super().put(identity, epoch, encoded)
        if kept:
            self.used[self.key(identity, epoch)] = next(self.clock)
        return kept

    def clear(self) -> None:
        super().clear()
        self.used.clear()

    def evict(self) -> None:
        keys = list(self._entries)
        self._remove(min(self.random.sample(keys, min(SAMPLE, len(keys))), key=self.used.__getitem__))

    def _remove(self, key: Key) -> None:
        super()._remove(key)
        del self.used[key]


implementation = dataclasses.replace(optimized.implementation, name="mutant oldest_of_a_sample", cache=SampledCache)
