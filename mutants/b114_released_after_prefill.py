"""B114, SGLang #38395, with leases: a lazy payload is released once all rows of the item were served, and opened
again after a retraction."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan

BUG = "B114"
PARENT = "optimized"
ACCEPT = ("LIFE-001", "LIFE-008", "LIFE-011")


class Releases(Embedder):
    def _hold(self, plan: Plan, found: dict[Key, Known], delivered: int) -> None:
        super()._hold(plan, found, delivered)
        over = [item for k, item in enumerate(plan.request.items) if plan.request.ends[k] <= delivered]
        for feature in self.features(over):
            feature.release()


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b114_released_after_prefill", embed=Releases
)
