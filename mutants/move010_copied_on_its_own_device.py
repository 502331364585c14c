"""Ours: every payload is copied out of its pool, on the same device too."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-010",)


class Copied(Hold):
    def move(self, tensor: Tensor) -> Tensor:
        moved = super().move(tensor)
        return moved.clone() if moved is tensor else moved


class Mutant(PoolSubscriber):
    hold_type = Copied


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant move010_copied_on_its_own_device", transport=Transport
)
