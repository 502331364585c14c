"""arthurprs/quick-cache #55 and lance #7953 (a cache of several shards evicts while it is far from full, since a shard cannot use
the room of another), and risingwave #2722, vLLM #52835 / #53016 (the largest item has to fit, or it is never kept).

Carried over: the cache is divided into shards by digest, as caches are that several threads share. What the real ones were
reported for first is seen to: there are only as many shards as have room for the largest item each. The hole is the other one:
of items that would all fit the budget, those of one shard evict each other, and have to be encoded again.

Shows where the budget is at least twice the rows of the largest item, and the rows in use are more than one shard's share: of
few large items about half the time, of many small ones only when the cache is nearly full. Eviction is not by use overall."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity, Runtime, TowerSpec

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-014",)

SHARDS = 4


def largest(spec: TowerSpec, patches: int) -> int:
    """Bytes of the rows of the largest item."""
    rows = [
        patches // layout.merge**2 if layout.has_grid else patches * layout.rows_per_tile
        for layout in spec.layouts.values()
    ]
    return max(rows) * spec.hidden_size * spec.dtype.itemsize * (1 + spec.side_levels)


class ShardedCache:
    def __init__(self, runtime: Runtime) -> None:
        budgets = runtime.budgets
        least = max(largest(runtime.spec, budgets.item_patches), 1)
        count = min(max(budgets.cache_bytes // least, 1), SHARDS)
        share = dataclasses.replace(budgets, cache_bytes=budgets.cache_bytes // count)
        self._shards = [LruCache(dataclasses.replace(runtime, budgets=share)) for _ in range(count)]

    @property
    def nbytes(self) -> int:
        return sum(shard.nbytes for shard in self._shards)

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        return self.shard(identity).get(identity, epoch)

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        return self.shard(identity).put(identity, epoch, encoded)

    def clear(self) -> None:
        for shard in self._shards:
            shard.clear()

    def shard(self, identity: Identity) -> LruCache:
        return self._shards[int.from_bytes(identity.digest[:8], "little") % len(self._shards)]


implementation = dataclasses.replace(optimized.implementation, name="mutant room_in_another_shard", cache=ShardedCache)
