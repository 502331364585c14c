"""From a chunk of a prompt to the rows that it needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch

from plumbline.interface import Span

Piece = tuple[int, int, int]
"""Index of an item, and the half-open range of its rows."""


class Places:
    """Where the rows of a request go, in an order that makes any chunk a few slices.

    The k-th placeholder of the prompt is ``positions[k]``. ``starts`` cuts these into runs along which an item's rows
    ascend one by one: run i begins with row ``firsts[i]`` of item ``items[i]``.
    """

    def __init__(self, length: int, spans_of: Sequence[Sequence[Span]]) -> None:
        covered = np.zeros(length, dtype=bool)
        runs: list[tuple[int, int, int, int]] = []
        for item, spans in enumerate(spans_of):
            row = 0
            for lo, hi in spans:
                covered[lo:hi] = True
                runs.append((lo, hi, item, row))
                row += hi - lo
        self.positions = torch.from_numpy(np.flatnonzero(covered))
        self.before = np.concatenate([[0], np.cumsum(covered)])
        self.starts: list[int] = []
        self.items: list[int] = []
        self.firsts: list[int] = []
        ordinal, follows = 0, (-1, 0)
        for lo, hi, item, row in sorted(runs):
            if (item, row) != follows:
                self.starts.append(ordinal)
                self.items.append(item)
                self.firsts.append(row)
            ordinal += hi - lo
            follows = item, row + hi - lo

    def range(self, lo: int, hi: int) -> tuple[int, int]:
        """Which placeholders lie in [lo, hi)."""
        return int(self.before[lo]), int(self.before[hi])

    def pieces(self, first: int, last: int) -> list[Piece]:
        """The rows of placeholders [first, last), in the order of their positions."""
        pieces: list[Piece] = []
        run = bisect_right(self.starts, first) - 1
        while first < last:
            end = min(last, self.starts[run + 1]) if run + 1 < len(self.starts) else last
            row = self.firsts[run] + first - self.starts[run]
            pieces.append((self.items[run], row, row + end - first))
            first, run = end, run + 1
        return pieces
