"""B072, SGLang #16902: the partition of a batch was remembered under its total length, so [4, 6, 8] got that of [5,
5, 8]."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem, Runtime, Tower

BUG = "B072"
PARENT = "optimized"
ACCEPT = ("ENC-005", "ENC-001")


class RememberedSegments(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.remembered: dict[int, Tensor] = {}

    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        exact = super().segments(described)
        return self.remembered.setdefault(int(exact[-1]), exact)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b072_segments_by_total", encoder=RememberedSegments
)
