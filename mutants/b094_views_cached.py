"""B094, SGLang #32498: entries are views of the batch that they came from, and keep all of it alive."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded

BUG = "B094"
PARENT = "optimized"
ACCEPT = ("CACHE-003", "CACHE-005")


class Views(LruCache):
    def copy(self, encoded: Encoded) -> Encoded:
        return encoded


implementation = dataclasses.replace(optimized.implementation, name="mutant b094_views_cached", cache=Views)
