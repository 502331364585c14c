"""Ours: a rank that is told of a lost worker refuses its payloads, and forgets the stream that waits for one of them."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-019",)


class Mutant(PoolSubscriber):
    def lost(self, worker: int) -> None:
        for hold in [hold for hold in self.holds if hold.worker == worker]:
            hold.refuse()


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool019_waits_for_who_is_given_up", transport=Transport
)
