"""Ours: nobody looks whether a request comes twice in a step, and both chunks are served."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Chunk, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-005",)


class ServesBoth(Embedder):
    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        return super()._plan(chunk, set())


implementation = dataclasses.replace(
    optimized.implementation, name="mutant chunk005_second_chunk_served", embed=ServesBoth
)
