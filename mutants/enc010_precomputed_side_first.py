"""Ours: the columns of precomputed rows are read with the main rows last."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-010", "ITEM-012")


class SideFirst(PackingEncoder):
    def precomputed(self, item: Item) -> Encoded:
        encoded = super().precomputed(item)
        *side, rows = (encoded.rows, *encoded.side)
        return Encoded(rows, tuple(side))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc010_precomputed_side_first", encoder=SideFirst
)
