"""Ours: side levels are collected from the last to the first. A tower with one level looks right."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-010",)


class Reversed(PackingEncoder):
    def split(self, encoded: Encoded, counts: list[int]) -> list[Encoded]:
        return super().split(Encoded(encoded.rows, encoded.side[::-1]), counts)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc010_side_levels_reversed", encoder=Reversed
)
