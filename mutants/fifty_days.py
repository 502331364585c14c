"""Mbed-TLS/mbedtls #10613, tass-belgium/picotcp #2, ARMmbed/minar #45: milliseconds in 32 bits begin again after 49.7 days.

Carried over: signs of life and grants are noted in milliseconds of 32 bits, on both sides alike, which is as fine as anybody
needs. Shows: the domain's clock (by default the time since the host was started) passes 2^32 ms, that is 4,294,967.296 s,
between a reader's last sign, or its grant, and a collect. Whatever was noted before seems to be in the future: a reader that
died is not missed, and its leases stay for another 49.7 days. A new lease is no better, since the dead reader's last sign
is later than it. Away from a multiple of 2^32 ms nothing differs, also with large times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher
from optimized.transport.subscriber import PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-007", "POOL-003")


def milliseconds(clock: Callable[[], float]) -> int:
    return round(clock() * 1e3) & 0xFFFF_FFFF


class MillisecondPool(Pool):
    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        super().grant(lease, readers)
        self._granted_at[lease.slot] = milliseconds(self._clock)

    def collect(self) -> None:
        self._free()
        top = len(self._leases)
        segment, waiting, generations = self.segment, self._waiting[:top], self._of[:top]
        waiting &= (segment.generations[:top] == generations)[:, None]
        last_sign = np.maximum(segment.heard, self._granted_at[:top, None])
        waiting &= segment.acknowledged[:top] != generations[:, None]
        waiting &= milliseconds(self._clock) - last_sign <= self._silence / 1e6
        for slot in np.flatnonzero((generations != 0) & ~waiting.any(axis=1)).tolist():
            self.end(self._leases[slot])  # type: ignore[arg-type]


class Publisher(PoolPublisher):
    pool_type = MillisecondPool


class Subscriber(PoolSubscriber):
    def beat(self) -> None:
        super().beat()
        for segment in self._segments.values():
            segment.heard[self.rank] = milliseconds(self.domain.clock)


class Transport(SharedMemoryTransport):
    publisher_type = Publisher
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant fifty_days", transport=Transport)
