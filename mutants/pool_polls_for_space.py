"""Ours: a full pool is asked again and again whether somebody has released meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-011",)


class Mutant(PoolPublisher):
    def _room(self, parts: Sequence[Tensor]) -> Lease | None:
        pool = self._pool
        for _ in range(6000):
            if pool is None or (lease := pool.reserve([part.nbytes for part in parts])) is not None:
                return lease if pool is not None else None
            pool.collect()
        return super()._room(parts)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant pool_polls_for_space", transport=Transport)
