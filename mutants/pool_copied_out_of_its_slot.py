"""Ours: what was written in place is copied once more, into a place of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-014",)


class Mutant(PoolPublisher):
    def _slot_of(self, parts: Sequence[Tensor]) -> Lease | None:
        return None


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_copied_out_of_its_slot", transport=Transport
)
