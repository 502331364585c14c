"""Ours: a check after release looks at the slot as it is now. It is another request's, so that good rows are dropped."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber
from optimized.transport.words import Segment

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-020",)


class Part(Hold):
    read: Segment | None = None

    def end(self) -> None:
        self.read = self.segment or self.read
        super().end()

    @property
    def fenced(self) -> bool:
        if self.segment is None and self.read is not None:
            return self._fenced or int(self.read.generations[self.slot]) not in (0, self.generation)
        return super().fenced


class Mutant(PoolSubscriber):
    hold_type = Part


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool020_check_of_the_slot_now", transport=Transport
)
