"""Ours: room is made for an entry before it is clear that it can fit at all."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-009",)


class Eager(LruCache):
    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        while self._entries and self.nbytes + self.size(encoded) > self.budget:
            self.evict()
        return super().put(identity, epoch, encoded)


implementation = dataclasses.replace(optimized.implementation, name="mutant cache009_oversize_empties", cache=Eager)
