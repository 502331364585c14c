"""Ours: a ticket remembers the slot, and cancels whatever lies there by now."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-017", "POOL-005", "POOL-002", "POOL-001", "POOL-006", "POOL-015")


class BySlot(PoolTicket):
    def cancel(self) -> None:
        pool, lease = self._pool, self._lease
        if pool is not None and lease is not None and lease.slot < len(pool._leases):
            now = pool._leases[lease.slot]
            if now is not None:
                pool.end(now)


class Mutant(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        ticket = super().publish(prepared, readers, held)
        return BySlot(ticket.message, ticket._pool, ticket._lease)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_late_cancel_frees_a_stranger", transport=Transport
)
