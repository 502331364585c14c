"""B119's kin: nothing is held between steps, so an item that several chunks cut is encoded for each of them unless
it is cached."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan

BUG = "B119"
PARENT = "optimized"
ACCEPT = ("CHUNK-003",)


class HoldsNothing(Embedder):
    def _hold(self, plan: Plan, found: dict[Key, Known], delivered: int) -> None:
        return


implementation = dataclasses.replace(
    optimized.implementation, name="mutant chunk003_encoded_for_each_chunk", embed=HoldsNothing
)
