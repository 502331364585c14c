"""Ours: safe and slow, the host waits for each upload before it goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from optimized.staging import StagingRing
from plumbline.interface import Runtime, Tower

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-008",)


class Waiting(StagingRing):
    def upload(self, parts: Sequence[Tensor]) -> Tensor:
        moved = super().upload(parts)
        torch.get_device_module(self.port.device).synchronize(self.port.device)
        return moved


class WaitsForUploads(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.staging = Waiting(self.port) if self.staging else None


implementation = dataclasses.replace(
    optimized.implementation, name="mutant move_008_waits_for_each_upload", encoder=WaitsForUploads
)
