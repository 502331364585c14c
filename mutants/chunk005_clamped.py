"""Ours: a chunk that passes the end of its prompt is cut to it instead of refused."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Chunk, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-005",)


class Clamps(Embedder):
    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        length = self._request(chunk.request_id).length
        return super()._plan(dataclasses.replace(chunk, hi=min(chunk.hi, length)), seen)


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk005_clamped", embed=Clamps)
