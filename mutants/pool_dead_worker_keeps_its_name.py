"""B036, SGLang #40723: nobody removes the segments of a worker that died."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber

BUG = "B036"
PARENT = "optimized"
ACCEPT = ("POOL-007",)


class Mutant(PoolSubscriber):
    def lost(self, worker: int) -> None:
        for hold in [hold for hold in self.holds if hold.worker == worker]:
            hold.refuse()


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_dead_worker_keeps_its_name", transport=Transport
)
