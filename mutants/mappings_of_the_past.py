"""ray #40370 (merged, for #39229): a plasma client never unmaps what it mapped, so that files which the store has given up stay
in memory for as long as any client lives. Here a beat maps what is new, and no longer looks for what has gone: "a closed worker
costs nothing, nobody writes there".

Shows when a worker closes or dies and is started again while the ranks go on (without ``Subscriber.lost`` there): each time the
old segment, whose name is gone, stays mapped in every rank, a worker's whole share of ``pool_bytes`` that no budget counts.
Seen in /proc/self/maps of the rank (deleted files) or in the use of /dev/shm. All values are right.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import nanoseconds, segments_of

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-008",)


class Subscriber(PoolSubscriber):
    def beat(self) -> None:
        self.watchdog.forget()
        known = segments_of(self.domain.name)
        self._unusable &= known.keys()
        for worker, stamp in known:
            self._segment(worker, stamp)
        now = nanoseconds(self.domain.clock)
        for segment in self._segments.values():
            segment.heard[self.rank] = now


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant mappings_of_the_past", transport=Transport)
