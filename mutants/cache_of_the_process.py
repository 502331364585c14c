"""rMLX #132 (fixed: features cached by content and not by model leak from one model of a process to another), Waggle-mcp #238
(review), sglang #8292 and vllm-omni #4773 (the embedding cache is a variable of the module that ``init`` sets): a factory's
cache is the process's one, which the last call of the factory made.

Shows: two engines (towers, models, budgets) in one process that are used in turn after both were made. The first one puts its
rows where the second one finds them, by content and epoch and not by tower: rows of another model, of another width if need
be; the first one's budget is the second one's. One engine after the other is right.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-008",)

current: LruCache


class ProcessCache:
    """Embeddings take gigabytes, so a process has one cache. ``init`` makes it, and all parts use it."""

    def __init__(self, runtime: Runtime) -> None:
        global current
        current = LruCache(runtime)

    @property
    def nbytes(self) -> int:
        return current.nbytes

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        return current.get(identity, epoch)

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        return current.put(identity, epoch, encoded)

    def clear(self) -> None:
        current.clear()


implementation = dataclasses.replace(optimized.implementation, name="mutant cache_of_the_process", cache=ProcessCache)
