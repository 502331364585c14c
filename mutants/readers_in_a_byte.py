"""syslog-ng #2008 (fix), hvisor-tool #93: who has a part is kept as bits of one integer, which has fewer bits than there can be
threads or CPUs.

Carried over: the readers that still have a part in a lease are the bits of one byte of its slot, because tensor parallelism
inside a host ends at 8. Shows: ``Domain.ranks`` above 8. Ranks from 8 on have no bit: a lease ends as soon as the others
let go of it, or at once where all its readers are such ranks. Their payload is fenced while they read it, or before they
do, and its place is given to another request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import nanoseconds
from plumbline.interface import DevicePort, Domain

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-002",)


def bits(ranks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """[n, ranks] -> [n]"""
    return np.packbits(ranks, axis=1, bitorder="little")[:, 0]


class BytePool(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, port)
        self._ranks = domain.ranks
        self._waiting = np.zeros(len(self._of), dtype=np.uint8)  # type: ignore[assignment]

    def only(self, readers: Iterable[int]) -> NDArray[np.uint8]:
        row = np.zeros((1, self._ranks), dtype=bool)
        row[0, list(readers)] = True
        return bits(row)

    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        super().grant(lease, ())
        self._waiting[lease.slot] = self.only(readers)[0]

    def collect(self) -> None:
        self._free()
        top = len(self._leases)
        segment, waiting, generations = self.segment, self._waiting[:top], self._of[:top]
        last_sign = np.maximum(segment.heard, self._granted_at[:top, None])
        heard = nanoseconds(self._clock) - last_sign <= self._silence
        waiting &= bits(heard & (segment.acknowledged[:top] != generations[:, None]))
        waiting[segment.generations[:top] != generations] = 0  # somebody took this worker for dead
        for slot in np.flatnonzero((generations != 0) & (waiting == 0)).tolist():
            self.end(self._leases[slot])  # type: ignore[arg-type]

    def lost(self, reader: int) -> None:
        self._waiting &= ~self.only([reader])
        self.collect()


class Publisher(PoolPublisher):
    pool_type = BytePool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant readers_in_a_byte", transport=Transport)
