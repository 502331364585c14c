"""Ours: closing forgets the segment's name."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003", "POOL-007")


class Mutant(PoolPublisher):
    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            for lease in [lease for lease in pool._leases if lease is not None]:
                pool.end(lease)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant pool_name_left_behind", transport=Transport)
