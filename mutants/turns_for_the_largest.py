"""vllm-ascend #1266 (a table of sines and cosines shorter than the positions that occur); kin: vmlx-swift #107 (a tower's 2D grid
made for a number of patches on a side).

Here: the table of rotations on the device begins with 64 places and grows with the largest image of a call; places beyond
its end take its last row, as an index must not leave the table. Largest is meant in patches. Shows when a call holds a long
strip of more than 64 patches on a side beside an image of more patches and shorter sides, and no earlier call was led by so
long an image: the strip's rows differ from those it has alone.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from torch import Tensor

import optimized
from mutants.shared.towers import loaded
from optimized.towers.plan import Plan, Shape
from optimized.towers.trunk import Turns
from optimized.towers.weights import mapped
from plumbline.interface import Checkpoint, DevicePort, Encoded, LoadedTower, Packed

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-001",)

USUAL = 64


def growing(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    whole, encoded, run = mapped(tower.turns, Tensor.cpu), tower.encoded, tower.run

    def grow(side: int) -> None:
        tower.turns = Turns(*(port.move(table[:side]) for table in whole))

    def encoded_after_growing(packed: Packed) -> Encoded:
        grids = [item.grid_thw for item in packed.items if item.grid_thw]
        _, height, width = max(grids, key=math.prod)
        if max(height, width) > len(tower.turns.cos):
            grow(max(height, width))
        return encoded(packed)

    def run_inside(patches: Tensor, made: Plan, shape: Shape, captured: bool) -> tuple[Tensor, ...]:
        np.minimum(made.patches[:, :2], len(tower.turns.cos) - 1, out=made.patches[:, :2])
        return run(patches, made, shape, captured)

    grow(USUAL)
    tower.encoded, tower.run = encoded_after_growing, run_inside  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant turns_for_the_largest", tower=growing)
