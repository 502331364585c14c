"""Ours: patches turn by their row where they should by their column, and the other way round."""

from __future__ import annotations

import dataclasses

import optimized
from mutants.shared.towers import with_grids
from optimized.towers.plan import Grid

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006", "NUM-002", "NUM-003")


def change(found: Grid, frames: int) -> Grid:
    patches = found.patches.copy()
    patches[:, [0, 1]] = patches[:, [1, 0]]
    return found._replace(patches=patches)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant num006_rows_for_columns", tower=with_grids(change)
)
