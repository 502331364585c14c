"""Ours: a place is free for others before those who still read it could learn so."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-015", "POOL-001")


class Places(Pool):
    def end(self, lease: Lease) -> None:
        generation = int(self.segment.generations[lease.slot])
        super().end(lease)
        self.segment.generations[lease.slot] = generation


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_freed_without_a_fence", transport=Transport
)
