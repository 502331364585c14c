"""B110 (mlx-vlm #2256, vLLM #41485): side rows are not cut to the chunk. Here each chunk gets all
that an item has."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from plumbline.interface import Rows

BUG = "B110"
PARENT = "optimized"
ACCEPT = ("CHUNK-001", "CHUNK-002", "ENC-010")


class NotWindowed(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        keys = plan.request.keys
        whole = replace(plan, pieces=[(item, 0, keys[item][1], at) for item, _, _, at in plan.pieces])
        return replace(super().rows(plan, found), side=super().rows(whole, found).side)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b110 side rows not windowed",
    embed=NotWindowed,
)
