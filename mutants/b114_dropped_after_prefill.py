"""B114, SGLang #38395: the payload is dropped once all rows of the item were served, so a retracted request cannot
run again."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan

BUG = "B114"
PARENT = "optimized"
ACCEPT = ("LIFE-001",)


class Drops(Embedder):
    def _hold(self, plan: Plan, found: dict[Key, Known], delivered: int) -> None:
        super()._hold(plan, found, delivered)
        request = plan.request
        request.items = tuple(
            dataclasses.replace(item, payload=None)
            if request.ends[k] <= delivered and not self.features([item])
            else item
            for k, item in enumerate(request.items)
        )


implementation = dataclasses.replace(optimized.implementation, name="mutant b114_dropped_after_prefill", embed=Drops)
