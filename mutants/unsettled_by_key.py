"""VoltDB/voltdb #6656 (merged): what is under way is kept in a table by a name that can be under way twice; a second
counter for one transaction collides with the first, which is then never completed. LMCache #2973 (review): a load that
failed is swallowed, because the connector has no record of it any more.

Carried over: rows that are not settled yet are kept by their key (digest and rows), for settling to look up. Two steps
in flight that both encode one image (its first request was served whole and holds nothing, and the cache has it only
once it is settled) have one entry: settling the first step asks the leases of the second step's payload, early, and the
first payload is never asked.

Shows with: equal images of two requests in two steps, the second begun before the first is settled, and the lease of
the first one's payload lost: ``settle`` of the first step reports nothing.

Breaks LIFE-009 (LeaseLost for each request whose rows came from a payload that was fenced off) and LIFE-012 (a step
that is settled after the next one began reports the same failures).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Admitted, Embedder, Key, Known
from plumbline.interface import Cache, Encoded, Encoder, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-009", "LIFE-012")


class Embed(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self._unsettled: dict[Key, Known] = {}

    def _fresh(self, key: Key, request: Admitted, index: int, encoded: Encoded) -> Known:
        known = self._unsettled[key] = super()._fresh(key, request, index, encoded)
        return known

    def settle(self, waiting: Sequence[Known]) -> None:
        due = [self._unsettled.pop(known.key, None) for known in waiting]
        super().settle([known for known in due if known is not None])


implementation = dataclasses.replace(optimized.implementation, name="mutant unsettled_by_key", embed=Embed)
