"""B026, vLLM #44910 (reverted twice): rows are kept by item only, and survive an update of the weights."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import Key, LruCache
from plumbline.interface import Identity

BUG = "B026"
PARENT = "optimized"
ACCEPT = ("CACHE-002", "EPOCH-001")


class NoEpoch(LruCache):
    def key(self, identity: Identity, epoch: int) -> Key:
        return identity.digest, 0


implementation = dataclasses.replace(optimized.implementation, name="mutant b026_no_epoch_in_key", cache=NoEpoch)
