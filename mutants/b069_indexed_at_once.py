"""B069 (vllm-ascend #11679): numbers come from the device without waiting, and the host cuts by them at once."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded

BUG = "B069"
PARENT = "optimized"
ACCEPT = ("MOVE-005",)


class CutByLateNumbers(PackingEncoder):
    def split(self, encoded: Encoded, counts: list[int]) -> list[Encoded]:
        if self.port.device.type == "cpu":
            return super().split(encoded, counts)
        lengths = self.port.move(torch.tensor(counts)).to("cpu", non_blocking=True)
        return super().split(encoded, [int(length) for length in lengths])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b069_indexed_at_once", encoder=CutByLateNumbers
)
