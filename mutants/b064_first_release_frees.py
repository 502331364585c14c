"""B064, SGLang #32071: two readers of one request, and the first release frees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B064"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-002", "POOL-006")


class Places(Pool):
    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        super().grant(lease, sorted(readers)[:1])


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b064_first_release_frees", transport=Transport
)
