"""B060, PyTorch #16854: once it is sent, nothing keeps the payload's memory for its reader, and the next payload is written
there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B060"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-002")


class Places(Pool):
    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        super().grant(lease, readers)
        for start, stop in lease.ranges:
            (self.space if start < self.segment.size else self.on_device).give(start, stop)
        lease.ranges = ()


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b060_dropped_after_send", transport=Transport
)
