"""B074's kin (vLLM #57136): the last segment of a call goes on to the end of the graph's inputs, over their padding."""

from __future__ import annotations

import dataclasses

import numpy as np
from torch import Tensor

import optimized
from mutants.shared.towers import loaded
from optimized.towers.plan import Plan, Shape
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = "B074"
PARENT = "optimized"
ACCEPT = ("GRAPH-002",)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    whole = tower.run

    def run(patches: Tensor, made: Plan, shape: Shape, captured: bool) -> tuple[Tensor, ...]:
        starts, ends = made.tiles[:, :2], made.tiles[:, 2:]
        ends = np.where(ends == made.shape.patches, np.int32(shape.patches), ends) if captured else ends
        return whole(patches, made._replace(tiles=np.concatenate([starts, ends], axis=1)), shape, captured)

    tower.run = run  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant b074_attended_padding", tower=load)
