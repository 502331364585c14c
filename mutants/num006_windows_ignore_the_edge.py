"""Ours: every window is taken for a whole one, so behind the first that the edge cuts off all are out of place."""

from __future__ import annotations

import dataclasses

import numpy as np

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
        if not len(found.windows):
            return found
        most = found.windows.max()
        count, rest = divmod(len(found.patches), most)
        windows = np.repeat([most, rest], [count, rest > 0]).astype(np.int32)
        return found._replace(windows=windows)

    tower.records = tower.records._replace(grid=grid)
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant num006_windows_ignore_the_edge", tower=load)
