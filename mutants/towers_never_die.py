"""vLLM #54346 (fixed), transformers #45412, #45922 (fixed): ``lru_cache`` on a method of the vision tower has the tower in its
keys, so that a tower that once encoded an image is never freed. Here: the grids' parts of plans are kept by such a function.

Shows: a tower that was called and is then dropped stays, with all its weights, until a thousand other grids were seen: an engine
that is shut down and made anew in one process, or loads one tower after the other, grows by a tower each time. The bound of the
parent, in bytes, is one in numbers as well. Rows are right.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache, partial
from typing import Any

import optimized
from mutants.shared.towers import loaded
from optimized.towers.kept_grids import KeptGrids
from optimized.towers.plan import Grid
from optimized.towers.tower import FastTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-014",)


@lru_cache(maxsize=1024)
def grid_of(tower: FastTower[Any, Any], frames: int, height: int, width: int) -> Grid:
    return tower.whole_grid(frames, height, width)  # type: ignore[attr-defined, no-any-return]


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    assert isinstance(tower.records.grid, KeptGrids)
    tower.whole_grid = tower.records.grid.grid  # type: ignore[attr-defined]
    tower.records = tower.records._replace(grid=partial(grid_of, tower))
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant towers_never_die", tower=load)
