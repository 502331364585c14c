"""B104's kin (SGLang #5455): an item's next row is the number of its rows that were served so far, which is right
until something was cached, retracted, or listed in another order."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Cache, Chunk, Encoder, RequestId, Runtime

BUG = "B104"
PARENT = "optimized"
ACCEPT = ("CHUNK-002", "LIFE-001", "ITEM-001")


class Counts(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.served: dict[int, dict[int, int]] = {}

    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        plan = super()._plan(chunk, seen)
        served = self.served.setdefault(id(plan.request), {})
        for k, (item, lo, hi, at) in enumerate(plan.pieces):
            first = min(served.get(item, 0), plan.request.keys[item][1] - (hi - lo))
            plan.pieces[k] = item, first, first + hi - lo, at
            served[item] = first + hi - lo
        return plan

    def finish(self, request_id: RequestId) -> None:
        self.served.pop(id(self._requests.get(request_id)), None)
        super().finish(request_id)


implementation = dataclasses.replace(optimized.implementation, name="mutant b104_rows_counted_as_served", embed=Counts)
