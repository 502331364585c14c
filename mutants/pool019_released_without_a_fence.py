"""Ours: the stream goes on when its worker is dead, and nobody is told that it read what was never written."""

from __future__ import annotations

import dataclasses
import threading
import time

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.watchdog import INTERVAL, Watchdog
from optimized.transport.words import Segment
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-019",)


class Silent(Watchdog):
    def watch(self, segment: Segment, slot: int, generation: int) -> None:
        threading.Thread(target=self._release, args=(segment, slot, generation), daemon=True).start()

    def _release(self, segment: Segment, slot: int, generation: int) -> None:
        while int(segment.ready[slot]) < generation:
            time.sleep(INTERVAL)
            if segment.orphaned():
                segment.ready[slot] = generation


class Mutant(PoolSubscriber):
    def __init__(self, runtime: Runtime, rank: int) -> None:
        super().__init__(runtime, rank)
        self.watchdog = Silent()


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool019_released_without_a_fence", transport=Transport
)
