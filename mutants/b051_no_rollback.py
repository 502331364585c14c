"""B051, SGLang #37005: when publishing fails after the payloads found their place, the place is not given back."""

from __future__ import annotations

import dataclasses
import sys

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B051"
PARENT = "optimized"
ACCEPT = ("POOL-004",)


class Places(Pool):
    def end(self, lease: Lease) -> None:
        if sys.exc_info()[0] is None:
            super().end(lease)


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant b051_no_rollback", transport=Transport)
