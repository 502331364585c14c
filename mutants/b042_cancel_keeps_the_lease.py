"""B042, vLLM #32104: what was sent and then abandoned is kept for ever."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared

BUG = "B042"
PARENT = "optimized"
ACCEPT = ("POOL-003", "POOL-015", "POOL-016")


class Kept(PoolTicket):
    def cancel(self) -> None:
        pass


class Mutant(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        ticket = super().publish(prepared, readers, held)
        return Kept(ticket.message, None, None)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b042_cancel_keeps_the_lease", transport=Transport
)
