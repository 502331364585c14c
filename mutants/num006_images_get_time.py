"""Ours: an image is placed in time like the first frame of a clip."""

from __future__ import annotations

import dataclasses

import optimized
from optimized import towers
from optimized.towers.plan import Grid
from optimized.towers.tower import FastTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006", "NUM-002", "NUM-003")


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = towers.load(checkpoint, port)
    assert isinstance(tower, FastTower)
    whole = tower.records.grid

    def grid(frames: int, height: int, width: int) -> Grid:
        found = whole(frames, height, width)
        if frames > 1 or found.rows.shape[1] <= 1:
            return found
        patches = found.patches.copy()
        patches[:, -1] = 1
        return found._replace(patches=patches)

    tower.records = tower.records._replace(grid=grid)
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant num006_images_get_time", tower=load)
