"""Ours: a merge that knows how its own embedder keeps rows, and takes rows of any other maker for text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.merge import Merger
from optimized.rows import ChunkRows, Slice
from plumbline.interface import Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-001", "MERGE-004")


class OwnRows(Merger):
    def slices(self, rows: Rows) -> Sequence[Slice]:
        return super().slices(rows) if isinstance(rows, ChunkRows) else []


implementation = dataclasses.replace(optimized.implementation, name="mutant merge001_own_rows_only", merge=OwnRows)
