"""Ours: the last patch of each item gets no position from the table: a count that is one short."""

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
    taps = (patches.shape[1] - 2) // 4
    patches[-1, 2 + 2 * taps : 2 + 4 * taps] = 0  # the bits of shares of 0.0
    return found._replace(patches=patches)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant num006_last_patch_unplaced", tower=with_grids(change)
)
