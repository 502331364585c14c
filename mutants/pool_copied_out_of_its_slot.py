"""Ours: what was written in place is copied once more, into a place of its own."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-014",)


class Mutant(PoolPublisher):
    def _payloads(
        self, prepared: Prepared, held: frozenset[Identity]
    ) -> tuple[list[Tensor], dict[int, int], Lease | None]:
        parts, places, _ = super()._payloads(prepared, held)
        return parts, places, None


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_copied_out_of_its_slot", transport=Transport
)
