"""OriginTrail/dkg #2518 (review): cleanup was capped so that one run cannot take long, and nobody goes on with the rest.

Carried over: ``collect`` ends at most 64 leases, so that a worker's turn stays short. Shows: more than 64 leases that all
readers have released (or whose reader fell silent) between two collects. Afterwards some of them are still there: ``leased``
does not say 0, and reserve gives None, or publish sends in the message, what would have had room. With fewer leases at a
time nothing differs.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003", "POOL-016")

MOST_AT_ONCE = 64
"""Leases that one call ends. What is left is found by the next."""


class CappedPool(Pool):
    room: int | None = None
    """How many more this collect may end; None outside of one."""

    def collect(self) -> None:
        self.room = MOST_AT_ONCE
        super().collect()
        self.room = None

    def end(self, lease: Lease) -> None:
        if self.room is not None:
            if not self.room:
                return
            self.room -= 1
        super().end(lease)


class Publisher(PoolPublisher):
    pool_type = CappedPool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant capped_collect", transport=Transport)
