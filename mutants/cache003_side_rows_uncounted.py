"""Ours: side rows are kept and not counted."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-003", "CACHE-004")


class MainRows(LruCache):
    def size(self, encoded: Encoded) -> int:
        return encoded.rows.numel() * encoded.rows.element_size()


implementation = dataclasses.replace(
    optimized.implementation, name="mutant cache003_side_rows_uncounted", cache=MainRows
)
