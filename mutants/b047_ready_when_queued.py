"""B047, SGLang #27105: the host says that a payload is there as soon as the work that writes it is queued."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B047"
PARENT = "optimized"
ACCEPT = ("POOL-001",)


class Mutant(PoolPublisher):
    def _ready(self, pool: Pool, lease: Lease) -> None:
        lease.queued = lease.generation
        pool.segment.ready[lease.slot] = lease.generation


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b047_ready_when_queued", transport=Transport
)
