"""Ours: all rows of a chunk's items are copied for each chunk, and the chunk's are cut from the copy."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan
from optimized.rows import ChunkRows
from plumbline.interface import Encoded, Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("WORK-004",)


def copied(encoded: Encoded) -> Encoded:
    return Encoded(encoded.rows.clone(), tuple(level.clone() for level in encoded.side))


class Joins(Embedder):
    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        keys = plan.request.keys
        slices = [(copied(found[keys[item]].encoded), lo, hi, at) for item, lo, hi, at in plan.pieces]
        return ChunkRows.of(plan.chunk, slices, self.empty)


implementation = dataclasses.replace(optimized.implementation, name="mutant work004_joined_before_cutting", embed=Joins)
