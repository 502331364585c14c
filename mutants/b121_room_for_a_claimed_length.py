"""B121, SGLang #28587: memory is made ready for a length that the message claims."""

from __future__ import annotations

import dataclasses
import struct

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Prepared

BUG = "B121"
PARENT = "optimized"
ACCEPT = ("MSG-003",)


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        at = message.find(b"\xc6")
        if 0 <= at <= len(message) - 5:
            bytearray(min(struct.unpack_from(">I", message, at + 1)[0], 1 << 22))
        return super().receive(message)


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b121_room_for_a_claimed_length", transport=Transport
)
