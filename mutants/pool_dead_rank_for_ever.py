"""Ours: a rank that was lost once is never waited for again, though another was started in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import DevicePort, Domain

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-002", "POOL-005", "POOL-006", "POOL-001")


class Places(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, port)
        self.dead: set[int] = set()

    def lost(self, reader: int) -> None:
        self.dead.add(reader)
        super().lost(reader)

    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        super().grant(lease, set(readers) - self.dead)


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_dead_rank_for_ever", transport=Transport
)
