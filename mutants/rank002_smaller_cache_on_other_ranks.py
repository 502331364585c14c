"""Ours, after SGLang's ranks with different memory: what one rank finds in its cache another one encodes, and waits."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "RANK-002",
    "RANK-003",
)


def cache(runtime: Runtime) -> LruCache:
    share = 1 + (runtime.ranks.rank if runtime.ranks is not None else 0)
    budgets = dataclasses.replace(runtime.budgets, cache_bytes=runtime.budgets.cache_bytes // share)
    return LruCache(dataclasses.replace(runtime, budgets=budgets))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank002_smaller_cache_on_other_ranks", cache=cache
)
