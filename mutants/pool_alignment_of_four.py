"""Ours, after Mooncake #4024: places are aligned to 4 bytes, where elements may have 8."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-006", "MSG-005")


class Places(Pool):
    def reserve(self, sizes: Sequence[int], on_device: Sequence[bool]) -> Lease | None:
        lease = super().reserve(sizes, on_device)
        if lease is not None and not any(on_device):
            starts, at = [], lease.starts[0]
            for size in sizes:
                starts.append(at)
                at += -(-size // 4) * 4
            lease.starts = tuple(starts)
        return lease


class Mutant(PoolPublisher):
    pool_type = Places


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_alignment_of_four", transport=Transport
)
