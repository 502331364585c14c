"""B049, SGLang #13940: a rank that stands still keeps its leases for ever, if nobody says that it is dead."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import Domain, Runtime

BUG = "B049"
PARENT = "optimized"
ACCEPT = ("POOL-007", "POOL-003")


class Places(Pool):
    def __init__(self, domain: Domain, worker: int) -> None:
        super().__init__(domain, worker)
        self._silence = 2**62


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
    optimized.implementation, name="mutant b049_silent_readers_wait", transport=Transport
)
