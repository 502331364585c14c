"""Where the patches of a frame are: their order, and their places in a stored table of another size. On the host."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

BEND = -0.75
"""Of the cubic convolution that torch interpolates with."""


def raster(height: int, width: int) -> tuple[Int64, Int64]:
    """Row and column of each patch of a frame, row by row: two [height * width]."""
    row, column = np.divmod(np.arange(height * width), width)
    return row, column


def blocks(height: int, width: int, block: int) -> Int64:
    """The places of a height x width frame, block by block, each row by row; those at the edges may be smaller."""
    row, column = raster(height, width)
    return np.lexsort((column, row, column // block, row // block))


def corner_to_corner(size: int, side: int) -> Float64:
    """Where ``size`` places lie on ``side`` stored ones, first on first and last on last."""
    return np.arange(size) * (side - 1) / max(size - 1, 1)


def edge_to_edge(size: int, side: int) -> Float64:
    """Where ``size`` places lie on ``side`` stored ones, cells of both covering the same length."""
    return (np.arange(size) + 0.5) * side / size - 0.5


def linear(at: Float64, side: int) -> tuple[Int64, NDArray[np.float32]]:
    """The two stored places around each of ``at``, and their shares: two [len(at), 2]."""
    low = np.floor(at)
    share = at - low
    return _inside(low, 0, 2, side), np.stack([1 - share, share], axis=1).astype(np.float32)


def cubic(at: Float64, side: int) -> tuple[Int64, NDArray[np.float32]]:
    """The four stored places around each of ``at``, and their shares: two [len(at), 4]."""
    low = np.floor(at)
    distance = np.abs((at - low)[:, None] - np.arange(-1, 3))
    near = ((BEND + 2) * distance - (BEND + 3)) * distance**2 + 1
    far = BEND * (((distance - 5) * distance + 8) * distance - 4)
    return _inside(low, -1, 4, side), np.where(distance <= 1, near, far).astype(np.float32)


def _inside(low: Float64, first: int, count: int, side: int) -> Int64:
    """Beyond the edge the edge is repeated."""
    taps: Int64 = low.astype(np.int64)[:, None] + np.arange(first, first + count)
    return taps.clip(0, side - 1)
