"""Ours: every window is taken for a whole one, so behind the first that the edge cuts off all are out of place."""

from __future__ import annotations

import dataclasses

import numpy as np

import optimized
from mutants.shared.towers import with_grids
from optimized.towers.plan import Grid

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006", "NUM-002", "NUM-003")


def change(found: Grid, frames: int) -> Grid:
    if not len(found.windows):
        return found
    most = found.windows.max()
    count, rest = divmod(len(found.patches), most)
    return found._replace(windows=np.repeat([most, rest], [count, rest > 0]).astype(np.int32))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant num006_windows_ignore_the_edge", tower=with_grids(change)
)
