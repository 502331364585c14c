"""A cache with a budget of bytes has a bound on its entries as well, which small images reach first."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-014",)


MOST = 4


class Few(LruCache):
    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        done = super().put(identity, epoch, encoded)
        while len(self._entries) > MOST:
            self.evict()
        return done


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache014 bounded by a count",
    cache=Few,
)
