"""aeron-io/agrona #229 (merged; its thread asks for a revert): the constructor of a side that attaches resets the shared
metadata, "to ensure correctness", and wipes out what the other process still has to read.

Carried over: a rank that maps a segment clears its own column of acknowledgements, since what stands there was written by a
predecessor with the same number. Shows: a rank that released payloads ends, orderly (``close`` acknowledges all) or not, and
is started again before the worker has collected. The acknowledgements are gone, the new rank beats, so nobody is silent:
those leases stay for ever, and ``leased`` never comes down. A rank's first start changes nothing, and neither does a restart
after the worker has collected or was told ``lost``.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import Segment

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003",)


class Subscriber(PoolSubscriber):
    def _segment(self, worker: int, stamp: int) -> Segment | None:
        known = (worker, stamp) in self._segments
        segment = super()._segment(worker, stamp)
        if segment is not None and not known:
            segment.acknowledged[:, self.rank] = 0  # nothing of this worker was released by this process so far
        return segment


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant starts_clean", transport=Transport)
