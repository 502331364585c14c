"""Ours: a reader whose lease was taken away is not told."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-015", "POOL-001")


class Part(Hold):
    @property
    def fenced(self) -> bool:
        return False


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        prepared = super().receive(message)
        for hold in self.holds:
            hold.__class__ = Part
        return prepared


class Transport(SharedMemoryTransport):
    def subscriber(self, rank: int) -> PoolSubscriber:
        return Mutant(self.runtime, rank)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_fence_not_reported", transport=Transport
)
