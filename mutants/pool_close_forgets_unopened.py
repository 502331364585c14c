"""Ours, after vLLM #46283: a rank that closes acknowledges what it opened, and nothing that was still queued."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber
from optimized.transport.words import Segment

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003",)


class Part(Hold):
    begun = False

    def place(self) -> Segment:
        self.begun = True
        return super().place()


class Mutant(PoolSubscriber):
    hold_type = Part

    def close(self) -> None:
        self.holds = {hold for hold in self.holds if isinstance(hold, Part) and hold.begun}
        super().close()


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_close_forgets_unopened", transport=Transport
)
