"""The chunks of a step are laid out by request id instead of in the order of the step, so requests of a step get each
other's rows."""

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.merge import Merger
from plumbline.interface import Rows

BUG = "B122"
PARENT = "optimized"
ACCEPT = ("MERGE-001", "MERGE-004")


class ById(Merger):
    def offsets(self, rows: Sequence[Rows]) -> list[int]:
        order = sorted(range(len(rows)), key=lambda at: rows[at].request_id)
        by_id = dict(zip(order, super().offsets([rows[at] for at in order]), strict=True))
        return [by_id[at] for at in range(len(rows))]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant chunks merged in order of ids",
    merge=ById,
)
