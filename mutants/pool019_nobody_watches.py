"""SGLang 0.5.23: a stream waits for a worker that is dead, and everything behind it waits too."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.watchdog import Watchdog
from optimized.transport.words import Segment
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-019",)


class Asleep(Watchdog):
    def watch(self, segment: Segment, slot: int, generation: int) -> None:
        pass


class Mutant(PoolSubscriber):
    def __init__(self, runtime: Runtime, rank: int) -> None:
        super().__init__(runtime, rank)
        self.watchdog = Asleep()


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool019_nobody_watches", transport=Transport
)
