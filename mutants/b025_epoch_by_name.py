"""B025, vLLM #44939: the key held the adapter's name, not its weights. Here two slots of weights take turns, and
the slot is the key."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import Key, LruCache
from plumbline.interface import Identity

BUG = "B025"
PARENT = "optimized"
ACCEPT = ("CACHE-002", "EPOCH-001")


class BySlot(LruCache):
    def key(self, identity: Identity, epoch: int) -> Key:
        return identity.digest, epoch % 2


implementation = dataclasses.replace(optimized.implementation, name="mutant b025_epoch_by_name", cache=BySlot)
