"""Ours: free ranges next to each other stay apart, until no large payload fits."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Space
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-016",)


class Crumbs(Space):
    def give(self, start: int, stop: int) -> None:
        self._add(start, stop)


class Mutant(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        super().__init__(runtime, worker)
        if self._pool is not None:
            self._pool.space = Crumbs(self._pool.segment.payload_start, self._pool.segment.size)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_ranges_never_merge", transport=Transport
)
