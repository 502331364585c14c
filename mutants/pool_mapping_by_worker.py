"""After Ray #16460: memory is remembered by a name that is used again. Here by worker, and its successor has another."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import Segment

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006", "POOL-007", "POOL-001", "POOL-003")


class Mutant(PoolSubscriber):
    def _segment(self, worker: int, stamp: int) -> Segment | None:
        mapped = (segment for (owner, _), segment in self._segments.items() if owner == worker)
        return next(mapped, None) or super()._segment(worker, stamp)


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_mapping_by_worker", transport=Transport
)
