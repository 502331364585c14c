"""Ours: an image is placed in time like the first frame of a clip."""

from __future__ import annotations

import dataclasses

import optimized
from mutants.shared.towers import with_grids
from optimized.towers.plan import Grid

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006", "NUM-002", "NUM-003")


def change(found: Grid, frames: int) -> Grid:
    if frames > 1 or found.rows.shape[1] <= 1:
        return found
    patches = found.patches.copy()
    patches[:, -1] = 1
    return found._replace(patches=patches)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant num006_images_get_time", tower=with_grids(change)
)
