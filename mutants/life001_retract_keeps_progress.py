"""Ours: how far a request came survives its retraction, and what was served before is left out."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Cache, Chunk, Encoder, RequestId, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-001", "CHUNK-006")


class Progress(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.progress: dict[RequestId, int] = {}

    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        plan = super()._plan(chunk, seen)
        done = min(self.progress.get(chunk.request_id, 0), chunk.hi)
        self.progress[chunk.request_id] = max(done, chunk.hi)
        return dataclasses.replace(plan, pieces=plan.request.places.pieces(max(chunk.lo, done), chunk.hi))

    def finish(self, request_id: RequestId) -> None:
        super().finish(request_id)
        self.progress.pop(request_id, None)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life001_retract_keeps_progress", embed=Progress
)
