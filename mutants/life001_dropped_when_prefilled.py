"""SGLang #38395, #37473, vLLM #50871: payloads are dropped once the whole prompt was served, and the request is preempted while
it decodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Item, Rows

BUG = "B114"
PARENT = "optimized"
ACCEPT = ("LIFE-001", "LIFE-002", "LIFE-011", "ISO-001")


def dropped(item: Item) -> Item:
    return dataclasses.replace(item, payload=None) if isinstance(item.payload, Tensor) else item


class DropsAtTheEnd(Embedder):
    def rows(self, plan: Plan, found: Mapping[Key, Known]) -> Rows:
        if plan.chunk.hi == plan.request.length:
            plan.request.items = tuple(dropped(item) for item in plan.request.items)
        return super().rows(plan, dict(found))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life001_dropped_when_prefilled", embed=DropsAtTheEnd
)
