"""sglang #30398 (review: a TTL that frees a slot by force reclaims memory that is still in use: silent corruption), mstar #168.

Carried over: a processor that dies or forgets ``cancel`` must not keep its slot for ever, so that ``collect`` gives a
reserved place back that was not published within ``lease_seconds``, as it does with silent readers. Shows: a processor
takes longer (a long video) while the pool needs room. Its tensors then lie in somebody else's place: it writes into another
request's payload, and its own publish is refused, or takes the other one's slot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import nanoseconds
from plumbline.interface import DevicePort, Domain

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-014")


class BoundedPool(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, port)
        self._reserved_at: dict[int, int] = {}
        """By slot."""

    def reserve(self, sizes: Sequence[int], on_device: Sequence[bool]) -> Lease | None:
        lease = super().reserve(sizes, on_device)
        if lease is not None:
            self._reserved_at[lease.slot] = nanoseconds(self._clock)
        return lease

    def collect(self) -> None:
        """And ends what was reserved and neither published nor cancelled for as long as a reader may be silent."""
        since = nanoseconds(self._clock) - self._silence
        for lease in [one for one in self._reserved.values() if self._reserved_at[one.slot] < since]:
            self.end(lease)
        super().collect()


class Publisher(PoolPublisher):
    pool_type = BoundedPool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant reserved_ttl", transport=Transport)
