"""B048, SGLang #33949: acknowledged when the read begins, not when it is done."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber
from optimized.transport.words import Segment

BUG = "B048"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-002")


class Part(Hold):
    def place(self) -> Segment:
        segment = super().place()
        self._subscriber.port.write(segment.acknowledgement(self.slot, self._subscriber.rank), self.generation)
        return segment


class Mutant(PoolSubscriber):
    hold_type = Part


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b048_acknowledged_at_open", transport=Transport
)
