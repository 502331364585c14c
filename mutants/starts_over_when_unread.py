"""ydb-platform/nbs #5979: a ring buffer in a file went back to its start when the last entry was freed, also between the
allocation of an entry and its commit, and then gave its bytes to the next one. Here the pool starts over at its front, whose
pages are warm, when no reader has anything left; a slot that a processor is still writing is no reader's yet.

Shows when a slot is reserved while other leases run, and the last of those ends before the slot is published: the next payload
or slot gets the same bytes, and both are published, read and written at one time. No lease is lost, so ``check`` is silent.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool, Space
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-014", "POOL-017", "POOL-008")


class RestartingPool(Pool):
    def end(self, lease: Lease) -> None:
        super().end(lease)
        if not self._of.any() and not self._ended:  # nobody reads, and no stream still writes
            self.space = Space(self.segment.payload_start, self.segment.size)
            self.on_device = Space(self.segment.size, self.segment.stop)


class RestartingPublisher(PoolPublisher):
    pool_type = RestartingPool


class RestartingTransport(SharedMemoryTransport):
    publisher_type = RestartingPublisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant starts_over_when_unread", transport=RestartingTransport
)
