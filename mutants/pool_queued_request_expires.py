"""Ours: a lease ends a fixed time after it was published, however healthy its reader is."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006",)


class Mutant(PoolSubscriber):
    def beat(self) -> None:
        pass


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_queued_request_expires", transport=Transport
)
