"""B032, SGLang #23022: two groups of ranks read a payload, and it is taken back once as many have read it as one group has."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B032"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-002", "POOL-006")


class Places(Pool):
    def collect(self) -> None:
        super().collect()
        group = max(1, self.segment.ranks // 2)
        for lease in [lease for lease in self._leases if lease is not None and lease.granted]:
            if (self.segment.acknowledged[lease.slot] == lease.generation).sum() >= group:
                self.end(lease)


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b032_readers_of_one_group_counted", transport=Transport
)
