"""SGLang #33388: a view travels with all of its storage, behind which other images lie. Here behind what its reader reads."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.transport import SharedMemoryTransport, messages
from optimized.transport.publisher import PoolPublisher, PoolTicket
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import BadMessage, Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-010",)


class Sender(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        ticket = super().publish(prepared, readers, held)
        behind = b""
        if ticket._lease is None:
            for item, identity in zip(prepared.items, prepared.identities, strict=True):
                for part in messages.payload_tensors(item) if identity not in held else ():
                    behind += torch.tensor([], dtype=torch.uint8).set_(part.untyped_storage()).numpy().tobytes()
        ticket.message += behind + len(behind).to_bytes(8, "little")
        return ticket


class Receiver(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        length = int.from_bytes(message[-8:], "little")
        if length > len(message) - 8 and message[:4] == messages.MAGIC:
            raise BadMessage(f"{len(message)} bytes, where {length} are due behind the request")
        return super().receive(message[: max(len(message) - 8 - length, 4)])


class Transport(SharedMemoryTransport):
    publisher_type = Sender
    subscriber_type = Receiver


implementation = dataclasses.replace(
    optimized.implementation, name="mutant msg010_whole_storage_travels", transport=Transport
)
