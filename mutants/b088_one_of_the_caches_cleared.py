"""B088, vLLM #43001: a reset clears the cache on one side of the engine. Here an update of the weights clears that of the first
rank, and the others go on with rows that it no longer has."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import Key, LruCache
from optimized.embed import Embedder
from plumbline.interface import Identity

BUG = "B088"
PARENT = "optimized"
ACCEPT = ("RANK-002", "RANK-003")


class NoEpoch(LruCache):
    def key(self, identity: Identity, epoch: int) -> Key:
        return identity.digest, 0


class FirstRank(Embedder):
    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch and self.cache is not None and (self.ranks is None or self.ranks.rank == 0):
            self.cache.clear()
        super().set_epoch(epoch)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b088_one_of_the_caches_cleared", cache=NoEpoch, embed=FirstRank
)
