"""B049, SGLang #13940: what was released is taken back only when the next request is published."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B049"
PARENT = "optimized"
ACCEPT = ("POOL-003", "POOL-007", "POOL-016")


class Mutant(PoolPublisher):
    def collect(self) -> None:
        pass

    def _place(self, pool: Pool, sizes: Sequence[int], on_device: Sequence[bool]) -> Lease | None:
        pool.collect()
        return super()._place(pool, sizes, on_device)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b049_only_on_allocation", transport=Transport
)
