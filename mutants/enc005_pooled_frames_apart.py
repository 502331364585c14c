"""Ours: each frame is an attention segment of its own, where the layout pools frames and all are one. A single frame
is right."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-005",)


class FramesApart(PackingEncoder):
    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        lengths: list[int] = []
        for item in described:
            frames = item.grid_thw[0] if item.grid_thw else 0
            lengths += [sum(item.parts) // frames] * frames if frames else item.parts
        return torch.tensor([0, *accumulate(lengths)], dtype=torch.int64)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc005_pooled_frames_apart", encoder=FramesApart
)
