"""OriginTrail/dkg #2518 (review): cleanup was capped so that one run cannot take long, and nobody goes on with the rest.

Carried over: ``collect`` ends at most 64 leases, so that a worker's turn stays short. Shows: more than 64 leases that all
readers have released (or whose reader fell silent) between two collects. Afterwards some of them are still there: ``leased``
does not say 0, and reserve gives None, or publish sends in the message, what would have had room. With fewer leases at a
time nothing differs.
"""

from __future__ import annotations

import dataclasses

import numpy as np

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import nanoseconds

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003", "POOL-016")

MOST_AT_ONCE = 64
"""Leases that one call ends. What is left is found by the next."""


class CappedPool(Pool):
    def collect(self) -> None:
        self._free()
        top = len(self._leases)
        if not top:
            return
        segment, waiting, generations = self.segment, self._waiting[:top], self._of[:top]
        waiting &= (segment.generations[:top] == generations)[:, None]
        last_sign = np.maximum(segment.heard, self._granted_at[:top, None])
        waiting &= segment.acknowledged[:top] != generations[:, None]
        waiting &= nanoseconds(self._clock) - last_sign <= self._silence
        over = np.flatnonzero((generations != 0) & ~waiting.any(axis=1))
        for slot in over[:MOST_AT_ONCE].tolist():
            lease = self._leases[slot]
            assert lease is not None
            self.end(lease)


class Publisher(PoolPublisher):
    pool_type = CappedPool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant capped_collect", transport=Transport)
