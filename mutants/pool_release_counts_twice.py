"""LMCache #5095: what is let go of twice counts twice. Here two releases of one payload are those of two in its request."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolFeature, PoolSubscriber
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-017", "POOL-002", "POOL-006", "POOL-001")


class Part(PoolFeature):
    def release(self) -> None:
        if self._released and self._hold.features:
            self._hold.features -= 1
            if not self._hold.features:
                self._hold.end()
        super().release()


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        prepared = super().receive(message)
        for item in prepared.items:
            for part in item.payload if isinstance(item.payload, tuple) else (item.payload,):
                if isinstance(part, PoolFeature):
                    part.__class__ = Part
        return prepared


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_release_counts_twice", transport=Transport
)
