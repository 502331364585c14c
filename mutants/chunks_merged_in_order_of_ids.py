"""Ours: the chunks of a step are laid out by request id instead of in the order of the step, so requests of a step get each
other's rows."""

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.merge import Merger
from optimized.rows import Slice
from plumbline.interface import Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-001", "MERGE-004")


class ById(Merger):
    def placed(self, rows: Sequence[Rows]) -> list[Slice]:
        return super().placed(sorted(rows, key=lambda one: one.request_id))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant chunks merged in order of ids",
    merge=ById,
)
