"""Bytes are counted before the rows are copied, and stay counted when there is no memory for the copy."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-003",)


class Early(LruCache):
    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        key, size = self.key(identity, epoch), self.size(encoded)
        if key in self._entries or self.nbytes + size > self.budget:
            return super().put(identity, epoch, encoded)
        self.nbytes += size
        self._entries[key] = self.copy(encoded)
        return True


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache003 counted before copied",
    cache=Early,
)
