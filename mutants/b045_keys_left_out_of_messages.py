"""B045, verifiers #1653: a field is excluded from the wire model. Here the caller's keys."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared

BUG = "B045"
PARENT = "optimized"
ACCEPT = ("MSG-005",)


class Mutant(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        items = tuple(dataclasses.replace(item, given=()) for item in prepared.items)
        return super().publish(dataclasses.replace(prepared, items=items), readers, held)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b045_keys_left_out_of_messages", transport=Transport
)
