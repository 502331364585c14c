"""B037, vLLM #16492: payloads are written as if their memory were contiguous."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher

BUG = "B037"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-009", "MSG-005")


class Mutant(PoolPublisher):
    def _fill(self, pool: Pool, parts: Sequence[Tensor], starts: Iterable[int]) -> None:
        flat = [p.as_strided(p.shape, torch.empty(p.shape, device="meta").stride()) for p in parts]
        super()._fill(pool, flat, starts)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b037_payload_taken_for_contiguous", transport=Transport
)
