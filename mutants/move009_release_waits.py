"""Ours: safe and slow, the rank waits for its reads before it acknowledges them."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-009",)


class Waiting(Hold):
    def end(self) -> None:
        device = self._subscriber.port.device
        if device.type != "cpu":
            torch.get_device_module(device).current_stream(device).synchronize()
        super().end()


class Mutant(PoolSubscriber):
    hold_type = Waiting


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant move009_release_waits", transport=Transport)
