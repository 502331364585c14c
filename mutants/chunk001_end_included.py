"""Ours: the end of a chunk is taken as part of it, so that the row at the cut is served twice."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Chunk, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-001", "CHUNK-006")


class EndIncluded(Embedder):
    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        plan = super()._plan(chunk, seen)
        pieces = plan.request.places.pieces(chunk.lo, min(chunk.hi + 1, plan.request.length))
        return dataclasses.replace(plan, pieces=pieces, needs=tuple({item: 0 for item, _, _, _ in pieces}))


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk001_end_included", embed=EndIncluded)
