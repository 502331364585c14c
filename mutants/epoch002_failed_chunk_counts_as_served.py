"""Ours: a chunk that failed stamps its request with the epoch as if it had been served, so that after an update it is refused
when it is sent again."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Failure, PlumblineError, Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-002",)


class Stamps(Embedder):
    def _serve(self, plan: Plan, found: dict[Key, Known], errors: dict[Key, PlumblineError]) -> Rows | Failure:
        result = super()._serve(plan, found, errors)
        plan.request.epoch = self.epoch
        return result


implementation = dataclasses.replace(
    optimized.implementation, name="mutant epoch002_failed_chunk_counts_as_served", embed=Stamps
)
