"""Ours: a request goes on under new weights as if nothing had happened."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Chunk, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-002",)


class GoesOn(Embedder):
    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        self._request(chunk.request_id).epoch = None
        return super()._plan(chunk, seen)


implementation = dataclasses.replace(optimized.implementation, name="mutant epoch002_never_raised", embed=GoesOn)
