"""Ours: patches turn by their row where they should by their column, and the other way round."""

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
        patches = found.patches.copy()
        patches[:, [0, 1]] = patches[:, [1, 0]]
        return found._replace(patches=patches)

    tower.records = tower.records._replace(grid=grid)
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant num006_rows_for_columns", tower=load)
