"""B052, SGLang #29227: the path that is taken on overflow was never tested. Here it widens bfloat16."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared

BUG = "B052"
PARENT = "optimized"
ACCEPT = ("POOL-009", "MSG-005", "POOL-001")


class Mutant(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        ticket = super().publish(prepared, readers, held)
        if ticket._lease is not None:
            return ticket
        items = [
            dataclasses.replace(item, payload=item.payload.float())
            if isinstance(item.payload, torch.Tensor) and item.payload.dtype is torch.bfloat16
            else item
            for item in prepared.items
        ]
        return super().publish(dataclasses.replace(prepared, items=tuple(items)), readers, held)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b052_fallback_in_float32", transport=Transport
)
