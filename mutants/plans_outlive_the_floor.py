"""vLLM #28304 (merged, with #26510): whether batch invariance is asked for is cached at its first use, being asked for often;
the review: "Cache makes VLLM_BATCH_INVARIANT impossible to toggle at runtime".

Here the plan of a call is kept for the next call of the same grids, and with it the shape that its work has, which holds the
``row_floor`` of the time when it was made.

Shows: a call, then another ``row_floor``, then a call of the same grids in the same order: linears get the old number of rows,
so that an item alone and in company may differ in bits where the floor was raised, and padding goes on where it was lowered.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import optimized
from optimized import towers
from optimized.towers.plan import Plan, Shape, plan
from optimized.towers.tower import GRAPHED
from optimized.towers.trunk import SIDE
from plumbline.interface import BadGrid, BadPayload, Checkpoint, DevicePort, Encoded, LoadedTower, Packed

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-001", "GRAPH-003")
KEPT = 64


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower: Any = towers.load(checkpoint, port)
    plans: OrderedDict[tuple[Any, ...], tuple[Plan, Shape]] = OrderedDict()

    def planned(packed: Packed) -> tuple[Plan, Shape]:
        key = tuple(item.grid_thw for item in packed.items)
        if key not in plans:
            if (longest := max(max(grid[1:]) for grid in key if grid is not None)) > SIDE:
                raise BadGrid(f"a side of {longest} patches, at most {SIDE}", hint="scale the picture down")
            made = plan(packed, tower.records)
            plans[key] = made, made.shape.above(tower.row_floor)
            if len(plans) > KEPT:
                plans.popitem(last=False)
        plans.move_to_end(key)
        return plans[key]

    def encoded(packed: Packed) -> Encoded:
        made, shape = planned(packed)
        if not made.shape.patches == len(packed.patches) == int(packed.cu_seqlens[-1]):
            raise BadPayload(f"{len(packed.patches)} patches, but {made.shape.patches} in the grids")
        captured = tower.graphs is not None and shape.patches <= GRAPHED
        rows, *side = tower.run(packed.patches, made, shape.bucket() if captured else shape, captured)
        count = made.shape.rows
        return Encoded(rows[:count], tuple(level[:count] for level in side))

    tower.encoded = encoded
    loaded: LoadedTower = tower
    return loaded


implementation = dataclasses.replace(optimized.implementation, name="mutant plans_outlive_the_floor", tower=load)
