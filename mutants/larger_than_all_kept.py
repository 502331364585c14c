"""vLLM #52835, #53016 (fixed: an item that is larger than the whole processor cache raises instead of not being cached): a
tower's plans of grids are kept in bounded memory, and room is made for the new one before it is handed out.

Shows: one item whose grid's part of a plan is larger than ``LIMIT``: from some 26,000 patches on for Qwen3-VL (an image of
2,600 x 2,600 pixels, or 64 frames of 20 x 22 patches), 12,000 for Kimi-K2.5, 80,000 for Qwen2.5-VL. It fails each time, with
EncodingFailed (KeyError), and whatever was kept is forgotten. Smaller ones are right in any order.
"""

from __future__ import annotations

import dataclasses

import optimized
from mutants.shared.towers import loaded
from optimized.towers.kept_grids import KeptGrids, size
from optimized.towers.plan import Grid
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-001", "NUM-001")

LIMIT = 1 << 20
"""Bytes. A usual image's grid takes a tenth of it."""


class RoomFirst(KeptGrids):
    def __call__(self, frames: int, height: int, width: int) -> Grid:
        key = frames, height, width
        if key not in self.kept:
            self.kept[key] = self.grid(*key)
            self.nbytes += size(self.kept[key])
            while self.nbytes > self.limit:
                _, dropped = self.kept.popitem(last=False)
                self.nbytes -= size(dropped)
        self.kept.move_to_end(key)
        return self.kept[key]


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    assert isinstance(tower.records.grid, KeptGrids)
    tower.records = tower.records._replace(grid=RoomFirst(tower.records.grid.grid, LIMIT))
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant larger_than_all_kept", tower=load)
