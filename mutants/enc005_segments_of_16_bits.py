"""PaddlePaddle/flash-attention #65, MSLK #257 in kind: the bounds of attention segments wrap in a call of many patches."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "ENC-005",
    "ENC-001",
)


class Narrow(PackingEncoder):
    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        return super().segments(described).to(torch.int16).long()


implementation = dataclasses.replace(optimized.implementation, name="mutant enc005_segments_of_16_bits", encoder=Narrow)
