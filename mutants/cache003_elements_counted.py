"""Ours: the size of an entry is its number of elements, not of bytes."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-003", "CACHE-004")


class Elements(LruCache):
    def size(self, encoded: Encoded) -> int:
        return sum(tensor.numel() for tensor in (encoded.rows, *encoded.side))


implementation = dataclasses.replace(optimized.implementation, name="mutant cache003_elements_counted", cache=Elements)
