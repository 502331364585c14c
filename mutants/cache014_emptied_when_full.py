"""A cache that is full is emptied, and with it goes what was used last."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-014",)


class Emptied(LruCache):
    def evict(self) -> None:
        self.clear()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache014 emptied when full",
    cache=Emptied,
)
