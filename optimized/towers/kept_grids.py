"""Items' parts of plans, kept for the next item of the same grid, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from optimized.towers.plan import Grid

LIMIT = 1 << 26
"""Bytes. A large image's grid takes half a megabyte, and that of a video one megabyte for every few frames of such."""


class KeptGrids:
    """As ``grid``, of which the least recently used results are dropped beyond ``limit`` bytes. Used from one thread."""

    def __init__(self, grid: Callable[[int, int, int], Grid], limit: int = LIMIT) -> None:
        self.grid, self.limit = grid, limit
        self.kept: OrderedDict[tuple[int, int, int], Grid] = OrderedDict()
        self.nbytes = 0

    def __call__(self, frames: int, height: int, width: int) -> Grid:
        key = frames, height, width
        if key not in self.kept:
            self.kept[key] = self.grid(*key)
            self.nbytes += size(self.kept[key])
        found = self.kept[key]
        self.kept.move_to_end(key)
        while self.nbytes > self.limit:
            _, dropped = self.kept.popitem(last=False)
            self.nbytes -= size(dropped)
        return found


def size(grid: Grid) -> int:
    """Bytes."""
    return sum(part.nbytes for part in grid)
