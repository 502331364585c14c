"""Ours: what a dead worker left is found by how its name begins, so that worker 1 takes 10 and 11 with it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import segments_of

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-007", "POOL-001", "POOL-006")


class Mutant(PoolSubscriber):
    def lost(self, worker: int) -> None:
        super().lost(worker)
        for (owner, _), path in segments_of(self.domain.name).items():
            if str(owner).startswith(str(worker)):
                path.unlink(missing_ok=True)


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant pool_lost_by_prefix", transport=Transport)
