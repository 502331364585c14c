"""Ours: room is made before an entry is put only if the budget is passed already, so it may be passed by one entry."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-004",)


class Late(LruCache):
    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        key, size = self.key(identity, epoch), self.size(encoded)
        if size > self.budget:
            return False
        if key in self._entries:
            return True
        while self.nbytes > self.budget:
            self.evict()
        self._entries[key] = self.copy(encoded)
        self.nbytes += size
        return True


implementation = dataclasses.replace(optimized.implementation, name="mutant cache004_evicts_afterwards", cache=Late)
