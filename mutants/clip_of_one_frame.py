"""mlxcel #551, #762: Kimi-K2.5's MoonViT gives a video of one frame the time of frame 0, chosen by modality, so that such a clip
has other rows than the same frame as an image. The published tower adds no time wherever there is one frame, and
frame 0's is not zero: half of it is ones.

Here: the same. Shows only for Kimi-K2.5's tower and an item of Modality.VIDEO whose grid has one frame (a short clip, or the
last chunk of a longer one); images and longer clips are right.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from torch import Tensor

import optimized
from optimized.towers import load
from optimized.towers.kimi_k25 import KimiK25Tower
from optimized.towers.plan import Plan, Shape
from plumbline.interface import Checkpoint, DevicePort, Encoded, LoadedTower, Modality, Packed

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006",)


def timed(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = load(checkpoint, port)
    if not isinstance(tower, KimiK25Tower):
        return tower
    encoded, run = tower.encoded, tower.run
    clips: list[np.ndarray] = []

    def all_clips_timed(packed: Packed) -> Encoded:
        """An image has no time; a clip of one frame has that of its first."""
        grids = [(item.modality, item.grid_thw) for item in packed.items if item.grid_thw]
        first = [modality is Modality.VIDEO and grid[0] == 1 for modality, grid in grids]
        clips[:] = [np.repeat(np.array(first), [math.prod(grid) for _, grid in grids])]
        return encoded(packed)

    def run_timed(patches: Tensor, made: Plan, shape: Shape, captured: bool) -> tuple[Tensor, ...]:
        made.patches[:, -1] += clips[0]
        return run(patches, made, shape, captured)

    tower.encoded, tower.run = all_clips_timed, run_timed  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant clip_of_one_frame", tower=timed)
