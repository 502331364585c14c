"""Sweeps that are skipped until something can have expired: thomhurst/Dekaf #2743 (merged) skips until the earliest deadline, and
says why the hint has to be conservative; jetty #9897 (merged) corrects the reset of the earliest timeout; wooga/locker #2
(merged): leases are missed when the timer skips. Here a collection that finds no new acknowledgement is skipped for
``lease_seconds`` after the last look: "nobody can fall silent sooner". Who was last heard before that look can.

Shows when a reader falls silent and there was a collection in between that found nothing: heard at 0, looked at half a period,
then a look after a whole period is skipped and the lease of the dead reader stays up to twice as long. Until then ``leased`` is
too large, and payloads travel in messages. The same for leases without readers, and for a worker that was taken for dead.
Acknowledged, cancelled and ``lost`` leases end at once.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import nanoseconds

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-007",)


class SkippingPool(Pool):
    _next_look: float | None = None
    _acknowledged = 0

    def collect(self) -> None:
        now, acknowledged = nanoseconds(self._clock), int(self.segment.acknowledged.sum())
        if self._next_look is not None and now < self._next_look and acknowledged == self._acknowledged:
            self._free()
            return
        self._next_look, self._acknowledged = now + self._silence, acknowledged
        super().collect()

    def lost(self, reader: int) -> None:
        self._next_look = None
        super().lost(reader)


class Publisher(PoolPublisher):
    pool_type = SkippingPool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant next_look_a_period_later", transport=Transport
)
