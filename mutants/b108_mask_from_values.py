"""B108 (TRT-LLM #11805): a test for truth where a test for presence was meant. Here a row of zeros counts as no row,
and its placeholder as text."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optimized
from optimized.merge import Merger
from plumbline.interface import Rows

BUG = "B108"
PARENT = "optimized"
ACCEPT = ("MERGE-001", "MERGE-002", "ITEM-012")


class ByValue(Merger):
    def mask(self, rows: Sequence[Rows], offsets: Sequence[int], length: int) -> Any:
        seen = [replace(one, positions=one.positions[one.rows.cpu().bool().any(1)]) for one in rows]
        return super().mask(seen, offsets, length)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b108 mask from values",
    merge=ByValue,
)
