"""Ours: the oldest entry is evicted, however recently it was used."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-011",)


class Fifo(LruCache):
    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        return self._entries.get(self.key(identity, epoch))


implementation = dataclasses.replace(optimized.implementation, name="mutant cache011_first_in_first_out", cache=Fifo)
