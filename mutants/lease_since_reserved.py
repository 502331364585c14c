"""Mooncake #3139 (store, recovery): memory becomes readable without being given a new lease, and is taken away by the age of the
old one before anybody could read it.

Here a lease is dated when its place is taken, and published with that date. For most requests the two are one moment; a slot
may be reserved long before (a processor that decodes a video into it). A reader that was not heard since, such as a rank that
has just been started or was idle, then does not get its ``lease_seconds``: the first collection, which any publication for
which there is no room makes, fences a payload that was published an instant ago.

Shows: reserve, more than lease_seconds, publish in place, and a collection before the reader's first sign of life after that.
Not where the reader beat within the last lease_seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import nanoseconds

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006", "POOL-002")


class DatedPool(Pool):
    def reserve(self, sizes: Sequence[int], on_device: Sequence[bool]) -> Lease | None:
        lease = super().reserve(sizes, on_device)
        if lease is not None:
            self._granted_at[lease.slot] = nanoseconds(self._clock)
        return lease

    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        since = int(self._granted_at[lease.slot])
        super().grant(lease, readers)
        self._granted_at[lease.slot] = since


class Publisher(PoolPublisher):
    pool_type = DatedPool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant lease_since_reserved", transport=Transport)
