"""B049, SGLang #13940: a rank that stands still keeps its leases for ever, if nobody says that it is dead."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import DevicePort, Domain

BUG = "B049"
PARENT = "optimized"
ACCEPT = ("POOL-007", "POOL-003")


class Places(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, port)
        self._silence = 2**62


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b049_silent_readers_wait", transport=Transport
)
