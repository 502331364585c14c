"""Ours: the last patch of each item gets no position from the table: a count that is one short."""

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
        taps = (patches.shape[1] - 2) // 4
        patches[-1, 2 + 2 * taps : 2 + 4 * taps] = 0  # the bits of shares of 0.0
        return found._replace(patches=patches)

    tower.records = tower.records._replace(grid=grid)
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant num006_last_patch_unplaced", tower=load)
