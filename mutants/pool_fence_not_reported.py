"""Ours: a reader whose lease was taken away is not told."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-015", "POOL-001")


class Part(Hold):
    @property
    def fenced(self) -> bool:
        return False


class Mutant(PoolSubscriber):
    hold_type = Part


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_fence_not_reported", transport=Transport
)
