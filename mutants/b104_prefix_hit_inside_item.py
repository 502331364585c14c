"""B104, SGLang #5455: the length of the shared prefix is ignored for the first item. The first chunk of a request
starts inside it, and gets its rows from row 0 on."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import Chunk, RequestId

BUG = "B104"
PARENT = "optimized"
ACCEPT = ("CHUNK-002",)


class IgnoresPrefix(Embedder):
    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        plan = super()._plan(chunk, seen)
        if plan.request.epoch is None and chunk.lo and plan.pieces:
            item, lo, hi, at = plan.pieces[0]
            if any(first < chunk.lo < last for first, last in plan.request.items[item].spans):
                plan.pieces[0] = item, 0, hi - lo, at
        return plan


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b104_prefix_hit_inside_item", embed=IgnoresPrefix
)
