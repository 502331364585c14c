"""B064, SGLang #32071: two readers of one request, and the first release frees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import Runtime

BUG = "B064"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-002", "POOL-006")


class Places(Pool):
    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        super().grant(lease, sorted(readers)[:1])


class Mutant(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        super().__init__(runtime, worker)
        if self._pool is not None:
            self._pool.close()
            self._pool = Places(runtime.domain, worker)


class Transport(SharedMemoryTransport):
    def publisher(self, worker: int) -> PoolPublisher:
        return Mutant(self.runtime, worker)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b064_first_release_frees", transport=Transport
)
