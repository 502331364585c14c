"""From a chunk of a prompt to the rows that it needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice

from plumbline.interface import Span

Piece = tuple[int, int, int, int]
"""Index of an item, the half-open range of its rows, and the position of the first of them."""


class Places:
    """Where the rows of a request go, in an order that makes any chunk a few slices.

    runs: (lo, hi, item, row), the placeholders at [lo, hi) hold rows of ``item`` from ``row`` on; ascending.
    """

    def __init__(self, spans_of: Sequence[Sequence[Span]]) -> None:
        self.runs: list[tuple[int, int, int, int]] = []
        for item, spans in enumerate(spans_of):
            row = 0
            for lo, hi in spans:
                self.runs.append((lo, hi, item, row))
                row += hi - lo
        self.runs.sort()
        self.ends = [hi for _, hi, _, _ in self.runs]

    def pieces(self, lo: int, hi: int) -> list[Piece]:
        """The rows of the placeholders in [lo, hi), in the order of their positions."""
        pieces: list[Piece] = []
        for first, last, item, row in islice(self.runs, bisect_right(self.ends, lo), None):
            if first >= hi:
                break
            start = lo if lo > first else first
            stop = hi if hi < last else last
            pieces.append((item, row + start - first, row + stop - first, start))
        return pieces
