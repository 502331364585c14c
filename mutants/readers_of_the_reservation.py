"""vLLM #20452 (merged): the number of readers is a property of the buffer, given when it is made; vLLM #52779 (merged):
completions are counted over all workers of the producer's world, where fewer of them take part.

Here: ``reserve`` is told the readers, so the slot remembers them, and a lease published in it waits for those. Which ranks
run the request is decided later, and ``publish`` names them: one who was not foreseen has no part in the lease, which ends
while it reads; one who was foreseen and got no message is waited for, as long as it beats.

Shows: a slot reserved for other readers than its request is published to. Reserved for {0, 1}, published to {0}: ``leased``
stays after 0 has released. Reserved for {0}, published to {0, 1}: fenced when 0 has released, 1 has LeaseLost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher, PoolSlot
from plumbline.interface import DevicePort, Domain, TensorMeta

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-003")


class Places(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, port)
        self.meant_for: dict[int, frozenset[int]] = {}
        """By generation, the readers that a slot was reserved for."""

    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        super().grant(lease, self.meant_for.get(lease.generation, readers))

    def end(self, lease: Lease) -> None:
        self.meant_for.pop(lease.generation, None)
        super().end(lease)


class Mutant(PoolPublisher):
    pool_type = Places

    def reserve(self, metas: Sequence[TensorMeta], readers: frozenset[int]) -> PoolSlot | None:
        slot = super().reserve(metas, readers)
        if slot is not None and slot._lease is not None and isinstance(self._pool, Places):
            self._pool.meant_for[slot._lease.generation] = readers
        return slot


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant readers_of_the_reservation", transport=Transport
)
