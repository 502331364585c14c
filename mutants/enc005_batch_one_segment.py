"""Ours: images of one batch are one attention segment, so they see each other. An image alone is right."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-005", "ENC-001")


class WholeBatch(PackingEncoder):
    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        bounds = super().segments(described)
        return bounds[[0, -1]] if len(bounds) == len(described) + 1 else bounds


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc005_batch_one_segment", encoder=WholeBatch
)
