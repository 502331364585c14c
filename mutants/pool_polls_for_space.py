"""Ours: a full pool is asked again and again whether somebody has released meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-011",)


class Mutant(PoolPublisher):
    def _place(self, pool: Pool, sizes: Sequence[int], on_device: Sequence[bool]) -> Lease | None:
        for _ in range(6000):
            if (lease := pool.reserve(sizes, on_device)) is not None:
                return lease
            pool.collect()
        return None


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant pool_polls_for_space", transport=Transport)
