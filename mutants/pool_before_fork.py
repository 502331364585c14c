"""LightRAG #3860 (review: a process-wide executor is not made anew after a fork, and calls queue for ever) and bpo-45021:
large payloads of a call are hashed by a pool of threads that all identifiers of the process share. A forked child inherits
the pool and none of its threads.

Shows: the process has identified two or more large items in one call (from ``POOL_PAYS_FROM`` bytes together), forks (as
multiprocessing does by default on Linux up to Python 3.13), and the child identifies two or more large ones. The child hangs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from multiprocessing.pool import ThreadPool

from torch import Tensor

import optimized
from optimized.identify import THREADS, Identifier
from plumbline.interface import Identity, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-007",)

POOL_PAYS_FROM = 1 << 18


@cache
def pool() -> ThreadPool:
    """Of the process, because threads of its own for each hash cost more than a small image."""
    return ThreadPool(THREADS)


def nbytes(item: Item) -> int:
    parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
    return sum(part.numel() * part.element_size() for part in parts if isinstance(part, Tensor))


class PooledIdentifier(Identifier):
    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        if len(items) < 2 or sum(map(nbytes, items)) < POOL_PAYS_FROM:
            return super().__call__(items)
        return pool().map(self.identity, items, chunksize=1)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_before_fork", identify=PooledIdentifier
)
