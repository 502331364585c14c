"""timm #2737 (merged): position embeddings are returned as stored where the number of patches is that of the stored ones, though
the grid is another ((2, 8) and (4, 4)): the shape is right, and the places are not. Its kin in DINO and ViT ask for a square.

Here a frame of as many patches as the table has places takes the table as it is, which spares the interpolation of the
size that was trained most.

Shows: Qwen3-VL and Kimi towers, frames whose height times width is the table's, in another shape (2 x 8 for a table of 4 x 4,
32 x 128 for 64 x 64). The table's own shape, and all other sizes, are right.
"""

from __future__ import annotations

import dataclasses

import numpy as np

import optimized
from optimized import towers
from optimized.towers.kept_grids import KeptGrids
from optimized.towers.kimi_k25 import KimiK25Tower
from optimized.towers.plan import Grid
from optimized.towers.qwen3_vl import Qwen3VLTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-002", "NUM-003", "NUM-006")


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = towers.load(checkpoint, port)
    if isinstance(tower, Qwen3VLTower):
        down, across, taps = tower.config.side, tower.config.side, 2
    elif isinstance(tower, KimiK25Tower):
        down, across, taps = tower.config.pos_emb_height, tower.config.pos_emb_width, 4
    else:
        return tower
    interpolated = tower.records.grid

    def grid(frames: int, height: int, width: int) -> Grid:
        found = interpolated(frames, height, width)
        if height * width != down * across:
            return found
        patches = found.patches.copy()
        place = patches[:, 0] * width + patches[:, 1]
        shares = np.zeros((len(patches), 2 * taps), dtype=np.float32)
        shares[:, [0, taps]] = 1
        patches[:, 2 : 2 + taps] = (place // across)[:, None]
        patches[:, 2 + taps : 2 + 2 * taps] = (place % across)[:, None]
        patches[:, 2 + 2 * taps : 2 + 4 * taps] = shares.view(np.int32)
        return found._replace(patches=patches)

    tower.records = tower.records._replace(grid=KeptGrids(grid))
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant table_of_the_same_area", tower=load)
