"""Ours: a video is one attention segment, where it must be one for each frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-005",)


class WholeVideo(PackingEncoder):
    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        flat = [
            dataclasses.replace(item, grid_thw=(1, sum(item.parts), 1)) if item.grid_thw else item for item in described
        ]
        return super().segments(flat)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc005_video_one_segment", encoder=WholeVideo
)
