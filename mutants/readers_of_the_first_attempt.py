"""rapidsai/kvikio #1021 (merged): a transfer that is retried finds the counters of its first attempt, because nobody sets
them back before the retry. Apache pulsar #26455 (review) has it for a send whose command could not be built.

Carried over: a publication in a reserved slot that fails is withdrawn: its number is taken back, and the slot is
reserved again. Who was to read it stays marked, and the next publication of the slot adds its readers to those.

Shows with a slot that is published for ranks 0 and 1 with something that cannot be sent (an extra of a bundle, a text
that is not Unicode), and then, put right, for rank 0 alone. Rank 0 releases it, rank 1 has never heard of it and beats:
the lease does not end.

Breaks POOL-004; Publisher.publish: "a raise leaves no lease behind, and what was reserved before as it was"; POOL-003.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-004", "POOL-003")


class BrokenPool(Pool):
    def withdraw(self, lease: Lease) -> None:
        self.segment.generations[lease.slot] = self._of[lease.slot] = 0
        lease.generation = next(self._generations)
        lease.granted = False
        self._reserved[lease.generation] = lease


class BrokenPublisher(PoolPublisher):
    pool_type = BrokenPool


class BrokenTransport(SharedMemoryTransport):
    publisher_type = BrokenPublisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant readers_of_the_first_attempt", transport=BrokenTransport
)
