"""Ours: the event that frees a staging buffer is recorded on the default stream, and the copies are on another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from optimized.staging import StagingRing
from plumbline.interface import Runtime, Tower

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-004",)


class Elsewhere:
    """An event with no ear for the stream that it is told."""

    def __init__(self, event: Any, stream: Any) -> None:
        self.query, self._event, self._stream = event.query, event, stream

    def record(self, _: Any) -> None:
        self._event.record(self._stream)


class Ring(StagingRing):
    def upload(self, parts: Sequence[Tensor]) -> Tensor:
        moved = super().upload(parts)
        stream = torch.get_device_module(self.port.device).default_stream(self.port.device)
        for buffer in self.buffers:
            if not isinstance(buffer.copied, Elsewhere):
                buffer.copied = Elsewhere(buffer.copied, stream)
        return moved


class Encoder(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.staging = Ring(self.port) if self.staging else None


implementation = dataclasses.replace(
    optimized.implementation, name="mutant move_004_event_on_the_default_stream", encoder=Encoder
)
