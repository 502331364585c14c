"""Ours: a message of another version is read as one of this."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.messages import MAGIC
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-001",)


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        return super().receive(MAGIC + message[len(MAGIC) :])


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant msg_any_version", transport=Transport)
