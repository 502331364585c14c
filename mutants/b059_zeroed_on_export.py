"""B059, PyTorch #156618: the memory is cleared when it is handed over, after the payload was written into it, and its reader
gets zeros."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B059"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-009", "MSG-005")


class Places(Pool):
    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        super().grant(lease, readers)
        for start, stop in lease.ranges:
            self.segment.tensor(start, (stop - start,), self.segment.bytes.dtype).zero_()


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant b059_zeroed_on_export", transport=Transport)
