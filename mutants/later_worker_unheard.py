"""LMCache #4715, #4795 (fix #4732): signs of life begin with the first message, so that an idle reader is taken for dead.

Carried over: ``beat`` lists /dev/shm only once, when the rank starts; a worker that starts (or is restarted) later is mapped
by the first message that comes from it, and hears the rank's signs of life only from then on. Shows: a worker starts after
the rank, and its first message waits longer than ``lease_seconds`` in the rank's inbox while the rank beats on time. The
lease is fenced all the same: PayloadMissing for a payload whose reader was never silent.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import Segment, nanoseconds

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006",)


class Subscriber(PoolSubscriber):
    """A sign of life is a word for each segment that is mapped; the folder is not listed for it."""

    started = False

    def beat(self) -> None:
        if not self.started:
            self.started = True
            super().beat()
            return
        self.watchdog.forget()
        for key in [key for key, segment in self._segments.items() if not segment.path.exists()]:
            self.watchdog.keep(self._segments.pop(key))
        now = nanoseconds(self.domain.clock)
        for segment in self._segments.values():
            segment.heard[self.rank] = now

    def _segment(self, worker: int, stamp: int) -> Segment | None:
        segment = super()._segment(worker, stamp)
        if segment is not None and self.started:
            segment.heard[self.rank] = nanoseconds(self.domain.clock)  # the first message is a sign of life too
        return segment


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant later_worker_unheard", transport=Transport)
