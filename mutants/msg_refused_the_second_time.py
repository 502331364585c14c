"""Ours: a message that an engine sends again is refused."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import BadMessage, Prepared, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-009", "MSG-005")


class Mutant(PoolSubscriber):
    def __init__(self, runtime: Runtime, rank: int) -> None:
        super().__init__(runtime, rank)
        self._seen: set[bytes] = set()

    def receive(self, message: bytes) -> Prepared:
        if message in self._seen:
            raise BadMessage("received before")
        prepared = super().receive(message)
        self._seen.add(message)
        return prepared


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant msg_refused_the_second_time", transport=Transport
)
