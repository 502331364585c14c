"""B110 (mlx-vlm #2256, vLLM #41485): side rows are not cut to the chunk. Here each chunk gets them from the item's
first row on."""

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
        side = tuple(
            self.join([found[keys[item]].encoded.side[level][: hi - lo] for item, lo, hi in plan.pieces])
            for level in range(self.spec.side_levels)
        )
        return replace(super().rows(plan, found), side=side)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b110 side rows not windowed",
    embed=NotWindowed,
)
