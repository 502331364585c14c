"""SGLang #30902 in kind: a large payload is copied into the pool in blocks of 64 KiB, and the rest is forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "POOL-001",
    "MSG-005",
)
BLOCK = 1 << 16


class InBlocks(PoolPublisher):
    def _fill(self, pool: Pool, parts: Sequence[Tensor], starts: Iterable[int]) -> None:
        starts = list(starts)
        super()._fill(pool, parts, starts)
        for part, start in zip(parts, starts, strict=True):
            if part.nbytes > BLOCK:
                pool.segment.bytes[start + part.nbytes // BLOCK * BLOCK : start + part.nbytes] = 0


class Blocks(SharedMemoryTransport):
    publisher_type = InBlocks


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool001_whole_blocks_copied", transport=Blocks
)
