"""vLLM #55733 in kind: what an entry takes and what its eviction gives back are counted in two ways. Here side rows are
never given back, and the cache fills up with nothing."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import Key, LruCache

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-003",)


class Drifts(LruCache):
    def evict(self) -> None:
        if self._entries:
            super().evict()
        else:
            self.nbytes = 0

    def _remove(self, key: Key) -> None:
        rows = self._entries.pop(key).rows
        self.nbytes -= rows.numel() * rows.element_size()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache003 evicted side rows counted",
    cache=Drifts,
)
