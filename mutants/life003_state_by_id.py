"""B042's kin (vLLM #32104): what a request's items are is remembered under its id, and not forgotten when it ends."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key
from plumbline.interface import Cache, Encoder, Prepared, Runtime

BUG = "B042"
PARENT = "optimized"
ACCEPT = ("LIFE-003", "CACHE-002")


class ById(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.memory: dict[object, list[Key]] = {}

    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        request = self._requests[prepared.request_id]
        rows = tuple(count for _, count in request.keys)
        request.keys = self.memory.setdefault((prepared.request_id, rows), request.keys)


implementation = dataclasses.replace(optimized.implementation, name="mutant life003_state_by_id", embed=ById)
