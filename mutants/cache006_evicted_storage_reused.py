"""vLLM #45199 in kind: the memory of an evicted entry is used for the next one of its shape, while a request still reads
it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import Key, LruCache
from plumbline.interface import Encoded, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-006", "CHUNK-008")


class Slots(LruCache):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.free: list[Encoded] = []

    def copy(self, encoded: Encoded) -> Encoded:
        for slot in self.free:
            if slot.rows.shape == encoded.rows.shape and len(slot.side) == len(encoded.side):
                self.free.remove(slot)
                for mine, given in zip((slot.rows, *slot.side), (encoded.rows, *encoded.side), strict=True):
                    mine.copy_(given)
                return slot
        return super().copy(encoded)

    def _remove(self, key: Key) -> None:
        self.free.append(self._entries[key])
        super()._remove(key)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache006 evicted storage reused",
    cache=Slots,
)
