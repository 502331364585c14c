"""B119's kin (SGLang #19474): a chunk of text encodes the next item of its request, to be ready for it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Chunk, RequestId

BUG = "B119"
PARENT = "optimized"
ACCEPT = ("WORK-001", "LIFE-007", "ENC-006")


class Prefetches(Embedder):
    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        plan = super()._plan(chunk, seen)
        ahead = [k for k, item in enumerate(plan.request.items) if item.spans and min(item.spans)[0] >= chunk.hi]
        return plan if plan.needs else dataclasses.replace(plan, needs=tuple(ahead[:1]))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant work001_items_of_text_chunks", embed=Prefetches
)
