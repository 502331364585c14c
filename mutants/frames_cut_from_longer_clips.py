"""vLLM #41701 (2026-05; positions are kept by height and width alone, since "consecutive frames share the same
resolution"), where mlx-vlm #1438 (merged 2026-06) adds what such a memory cannot hold: a time that a clip's frames
have and a picture has not.

Carried over: of each height and width the longest clip's records are kept, and shorter ones are cut from its
beginning. Of the Qwen towers that is so. Of Kimi-K2.5, too, for clips; but a picture's patches have no time, and those
of a clip's first frame do. Shows: Kimi-K2.5, a picture (or a clip of one frame) after a clip of two frames or more of
the same height and width in the life of the tower: wrong rows, which are cached. The other way round, and all else, is
right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import optimized
from mutants.shared.towers import loaded
from optimized.towers.plan import Grid
from plumbline.interface import Checkpoint, DevicePort, LoadedTower, Modality

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-001", "NUM-003")

SIZES = 256


class Longest:
    """As ``grid``, made once for each height and width, and again only for a longer clip.

    pools: rows are made of all frames.
    """

    def __init__(self, grid: Callable[[int, int, int], Grid], pools: bool) -> None:
        self.grid, self.pools = grid, pools
        self.kept: dict[tuple[int, int], tuple[int, Grid]] = {}

    def __call__(self, frames: int, height: int, width: int) -> Grid:
        most, whole = self.kept.get((height, width), (0, None))
        if whole is None or frames > most:
            most, whole = frames, self.grid(frames, height, width)
            if len(self.kept) >= SIZES:
                self.kept.clear()
            self.kept[height, width] = most, whole
        return whole if frames == most else self.cut(whole, frames, most)

    def cut(self, whole: Grid, frames: int, most: int) -> Grid:
        patches, rows, windows = (part[: len(part) * frames // most] for part in whole)
        if self.pools:
            rows = whole.rows.copy()
            rows[:, 2::3] = frames  # of each cell: the first patch, the step to the next frame, and how many
        return Grid(patches, rows, windows)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    pools = tower.spec.layouts[Modality.VIDEO].pools_frames
    tower.records = tower.records._replace(grid=Longest(tower.records.grid, pools))
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant frames_cut_from_longer_clips", tower=load)
