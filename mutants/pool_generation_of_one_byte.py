"""Ours: a lease's generation is kept in one byte, and after 255 publications an old one is valid again."""

from __future__ import annotations

import dataclasses
from itertools import count, cycle
from typing import cast

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import DevicePort, Domain

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-005", "POOL-006", "POOL-001", "ISO-001")


class Places(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, port)
        self._generations = cast("count[int]", cycle(range(1, 256)))


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_generation_of_one_byte", transport=Transport
)
