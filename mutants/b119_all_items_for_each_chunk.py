"""B119, SGLang #19474: each chunk encodes all items of its request, also those that lie behind or ahead of it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Chunk, RequestId

BUG = "B119"
PARENT = "optimized"
ACCEPT = ("WORK-001", "LIFE-007", "ENC-006")


class AllItems(Embedder):
    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        plan = super()._plan(chunk, seen)
        return dataclasses.replace(plan, needs=tuple(k for k, item in enumerate(plan.request.items) if item.spans))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b119_all_items_for_each_chunk", embed=AllItems
)
