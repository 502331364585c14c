"""Ours: bytes that are no message end in whatever error the decoder has."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import BadMessage, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-002", "ISO-003")


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        try:
            return super().receive(message)
        except BadMessage as error:
            raise ValueError(error.what) from error


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant msg_untyped_error", transport=Transport)
