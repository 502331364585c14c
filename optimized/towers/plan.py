"""The plan of a call: everything that the device has to know about its items, made on the host and sent up in one copy.

It is one int32 vector of four parts: a record for each patch, a record for each row, and lists of attention tiles. What the
records hold is the family's affair. A plan's *shape* is the lengths of the parts; all else is data. So a plan can be padded
to any larger shape, and all calls of one shape do the same work on the device, whatever their items are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimized.towers.attention import ROWS_PER_TILE
from plumbline.interface import Packed

Int32 = NDArray[np.int32]

FINEST = 16
"""Patches: the smallest step between two buckets. A multiple of the patches of a row in every family."""


SHORT = 48
"""Patches of a short segment: a little less than a small image or a window has."""


class Grid(NamedTuple):
    """One item of a call, as if it were alone in it; kept for the next item of this grid.

    patches: int32 [P, fields]. rows: int32 [R, fields]. windows: int32 [W], patches of each window, in order; or empty.
    """

    patches: Int32
    rows: Int32
    windows: Int32


class Records(NamedTuple):
    """How a family's records are made. grid: (frames, height, width) -> Grid, cached.

    patch_fields, row_fields: numbers in a record. patch_shifts, row_shifts: for each field, how much it grows for each patch
    that lies before the item in the call. windowed: some layers look at windows only.
    """

    grid: Callable[[int, int, int], Grid]
    patch_fields: int
    row_fields: int
    patch_shifts: Mapping[int, int] = MappingProxyType({})
    row_shifts: Mapping[int, int] = MappingProxyType({})
    windowed: bool = False


@dataclass(frozen=True)
class Shape:
    """Lengths of the parts of a plan: what the work on the device depends on. windows: 0 where no layer has any."""

    patches: int
    rows: int
    tiles: int
    windows: int

    def above(self, row_floor: int) -> Shape:
        """With at least ``row_floor`` rows in each linear, and whole rows only."""
        patches = -(-max(self.patches, row_floor) // FINEST) * FINEST
        return Shape(patches, max(self.rows, row_floor), self.tiles, self.windows)

    def bucket(self) -> Shape:
        """The bucket that holds it. Of whole ``FINEST`` patches, as ``above`` gives them: at most a quarter more, and four
        buckets for each doubling.

        There is room for so many tiles that segments of usual lengths all come to one bucket: an empty tile costs next to
        nothing, and another graph the memory of a call.
        """
        patches = step(self.patches)
        tiles, windows = (doubled(max(count, patches // SHORT)) if count else 0 for count in (self.tiles, self.windows))
        return Shape(patches, step(self.rows), tiles, windows)


def step(count: int) -> int:
    """``count`` rounded up to a quarter of the power of two below it."""
    size = max(FINEST, (1 << max(count - 1, 1).bit_length()) >> 3)
    return -(-count // size) * size


def doubled(count: int) -> int:
    """The power of two from ``count`` on."""
    return 1 << (count - 1).bit_length()


class Fields(NamedTuple):
    """A plan's parts on the device, as views. tiles, windows: as ``attention`` reads them."""

    patches: Tensor
    rows: Tensor
    tiles: Tensor
    windows: Tensor

    @staticmethod
    def of(vector: Tensor, shape: Shape, records: Records) -> Fields:
        """vector: as ``Plan.padded`` gave it."""
        sizes = sizes_of(shape, records)
        parts = torch.split(vector, [length * width for length, width in sizes])
        return Fields(*(part.view(length, width) for part, (length, width) in zip(parts, sizes, strict=True)))


class Plan(NamedTuple):
    """A call's parts, of just the lengths that its items need."""

    patches: Int32
    rows: Int32
    tiles: Int32
    windows: Int32

    @property
    def shape(self) -> Shape:
        return Shape(*map(len, self))

    def padded(self, shape: Shape, records: Records) -> Tensor:
        """All parts in one int32 vector, each padded with zeros: a tile of zeros is empty, and index 0 is always there."""
        sizes = sizes_of(shape, records)
        vector = np.zeros(sum(length * width for length, width in sizes), dtype=np.int32)
        at = 0
        for part, (length, width) in zip(self, sizes, strict=True):
            vector[at : at + part.size] = part.reshape(-1)
            at += length * width
        return torch.from_numpy(vector)


def sizes_of(shape: Shape, records: Records) -> tuple[tuple[int, int], ...]:
    """(length, width) of each part."""
    widths = (records.patch_fields, records.row_fields, TILE_FIELDS, TILE_FIELDS)
    return tuple(zip((shape.patches, shape.rows, shape.tiles, shape.windows), widths, strict=True))


TILE_FIELDS = 3


def plan(packed: Packed, records: Records) -> Plan:
    """Of items with grids; those of ``packed.patches`` are not looked at."""
    grids = [records.grid(*item.grid_thw) for item in packed.items if item.grid_thw is not None]
    counts = [len(grid.patches) for grid in grids]
    firsts = np.concatenate([[0], np.cumsum(counts[:-1], dtype=np.int64)]).astype(np.int32)
    patches = np.concatenate([grid.patches for grid in grids])
    rows = np.concatenate([grid.rows for grid in grids])
    for part, lengths, shifts in (
        (patches, counts, records.patch_shifts),
        (rows, [len(grid.rows) for grid in grids], records.row_shifts),
    ):
        for field, patches_of_one in shifts.items():
            part[:, field] += np.repeat(firsts // patches_of_one, lengths)
    windows = tiles_of(np.concatenate([grid.windows for grid in grids])) if records.windowed else no_tiles()
    return Plan(patches, rows, tiles_of(np.diff(packed.cu_seqlens.numpy()).astype(np.int32)), windows)


def tiles_of(lengths: Int32) -> Int32:
    """int32 [T, 3]: first query row, start and end of the segment, for each tile of each segment. Long segments come first,
    so that no long one is begun when all the others have ended."""
    ends = np.cumsum(lengths)
    counts = -(-lengths // ROWS_PER_TILE)
    segments = np.repeat(np.arange(len(lengths)), counts)
    within = np.arange(len(segments)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.argsort(-lengths[segments], kind="stable")
    segments, within = segments[order], within[order]
    starts = ends[segments] - lengths[segments]
    return np.stack([starts + within * ROWS_PER_TILE, starts, ends[segments]], axis=1).astype(np.int32)


def no_tiles() -> Int32:
    return np.zeros((0, TILE_FIELDS), dtype=np.int32)


def no_windows() -> Int32:
    """Of an item in a family without any."""
    return np.zeros(0, dtype=np.int32)


def joined(parts: Sequence[NDArray[np.generic]]) -> Int32:
    """Columns of integers and of float32 (by their bits) side by side: int32 [n, fields]."""
    columns = [part.reshape(len(part), -1) for part in parts]
    return np.concatenate([c.view(np.int32) if c.dtype == np.float32 else c.astype(np.int32) for c in columns], axis=1)
