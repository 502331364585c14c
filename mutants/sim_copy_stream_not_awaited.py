"""Ours: payloads go up on a stream of their own, and the stream that runs the tower does not wait for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from optimized.staging import StagingRing
from plumbline.interface import DevicePort, Runtime, Tower

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-002",)


class OnItsOwnStream(StagingRing):
    def __init__(self, port: DevicePort) -> None:
        super().__init__(port)
        self.stream: Any = torch.get_device_module(port.device).Stream(port.device)

    def upload(self, parts: Sequence[Tensor]) -> Tensor:
        with torch.get_device_module(self.port.device).stream(self.stream):
            return super().upload(parts)


class NotAwaited(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.staging = OnItsOwnStream(self.port) if self.staging else None


implementation = dataclasses.replace(
    optimized.implementation, name="mutant sim_copy_stream_not_awaited", encoder=NotAwaited
)
