"""B041, vLLM #27858: a reader can see the word that says that the payload is there before it can see the payload. Here the two
are swapped in the program; there the processor swapped them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B041"
PARENT = "optimized"
ACCEPT = ("POOL-001",)


class Mutant(PoolPublisher):
    def _place(self, pool: Pool, sizes: Sequence[int], on_device: Sequence[bool]) -> Lease | None:
        lease = super()._place(pool, sizes, on_device)
        if lease is not None:
            self.port.write(pool.segment.ready_word(lease.slot), lease.generation)
        return lease


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b041_flag_before_the_payload", transport=Transport
)
