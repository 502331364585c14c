"""Ours: an acknowledgement of an older generation frees what lies in that slot now."""

from __future__ import annotations

import dataclasses

import numpy as np

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-005", "POOL-002", "POOL-001", "POOL-006", "POOL-003")


class Places(Pool):
    def collect(self) -> None:
        words = self.segment.acknowledged
        np.copyto(words, self._of[:, None], where=(words != 0) & (self._of[:, None] != 0))
        super().collect()


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_any_acknowledgement_counts", transport=Transport
)
