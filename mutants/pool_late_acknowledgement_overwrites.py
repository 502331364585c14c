"""Ours, found by generated schedules: a late acknowledgement overwrites that of the slot's next lease, which then never ends."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003", "POOL-007", "POOL-016", "POOL-017", "POOL-005", "MSG-009")


class Part(Hold):
    def end(self) -> None:
        segment = self.segment
        super().end()
        if segment is not None:
            self._subscriber.port.write(segment.acknowledgement(self.slot, self._subscriber.rank), self.generation)


class Mutant(PoolSubscriber):
    hold_type = Part


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_late_acknowledgement_overwrites", transport=Transport
)
