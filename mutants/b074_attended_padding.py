"""B074's kin (vLLM #57136): the last segment of a call goes on to the end of the graph's inputs, over their padding."""

from __future__ import annotations

import dataclasses

import numpy as np
from torch import Tensor

import optimized
from optimized.towers.checkpoint import read_config
from optimized.towers.plan import Plan, Shape
from optimized.towers.qwen3_vl import Qwen3VLTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = "B074"
PARENT = "optimized"
ACCEPT = ("GRAPH-002",)


class Attended(Qwen3VLTower):
    def run(self, patches: Tensor, made: Plan, shape: Shape, captured: bool) -> tuple[Tensor, ...]:
        starts, ends = made.tiles[:, :2], made.tiles[:, 2:]
        ends = np.where(ends == made.shape.patches, np.int32(shape.patches), ends) if captured else ends
        return super().run(patches, made._replace(tiles=np.concatenate([starts, ends], axis=1)), shape, captured)


def tower(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    return Attended(checkpoint, port, read_config(checkpoint.folder))


implementation = dataclasses.replace(optimized.implementation, name="mutant b074_attended_padding", tower=tower)
