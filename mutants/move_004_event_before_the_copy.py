"""Ours: the event that frees a staging buffer is recorded before the copy, so that it happens too early."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from optimized.staging import Buffer, StagingRing
from plumbline.interface import Runtime, Tower

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-004",)


class Early(StagingRing):
    def buffer(self, nbytes: int) -> Buffer | None:
        buffer = super().buffer(nbytes)
        if buffer is not None:
            buffer.copied.record()
        return buffer

    def upload(self, parts: Sequence[Tensor]) -> Tensor:
        moved = super().upload(parts)
        for buffer in self.buffers:  # the events after the copies are forgotten
            buffer.copied = torch.get_device_module(self.port.device).Event()
        return moved


class EventTooEarly(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.staging = Early(self.port) if self.staging else None


implementation = dataclasses.replace(
    optimized.implementation, name="mutant move_004_event_before_the_copy", encoder=EventTooEarly
)
