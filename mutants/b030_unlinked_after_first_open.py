"""B030, SGLang #21655: the segment is unlinked when the first rank has mapped it, before its peers do."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import Segment

BUG = "B030"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-006", "MSG-005")


class Mutant(PoolSubscriber):
    def _segment(self, worker: int, stamp: int) -> Segment | None:
        segment = super()._segment(worker, stamp)
        if segment is not None:
            segment.unlink()
        return segment


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b030_unlinked_after_first_open", transport=Transport
)
