"""Mooncake #3826 / #3858 (open): storage is mounted again after a restart, a fresh allocator takes all of it for free, and
what older descriptors refer to is another tenant's by then, readable and "complete".

Here: a worker that takes the place of a dead one goes on in its segment, which the ranks have mapped already, instead of
removing it. All slots are made free first; but it is the same segment, and generations count from 1 again: the second first
lease in slot 0 has the numbers of the first one. A message of the dead worker that is still on its way, or a feature of it,
is valid again and gives the successor's payload, with no error; released, it acknowledges the successor's lease.

Shows: a worker is killed and starts again with the same pool, without ``lost(worker)`` on a rank in between; something of
its predecessor is opened, checked or released after the successor has published as many requests as that one had.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import Lock, Segment, segments_of, unlink_in
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-001",)


def left_behind(runtime: Runtime, worker: int) -> Segment | None:
    """The segment of a predecessor that is dead, locked and empty."""
    for (owner, stamp), path in segments_of(runtime.domain.name).items():
        if owner != worker:
            continue
        with contextlib.suppress(OSError):
            lock = Lock(path)
            segment = Segment.attach(path, stamp, runtime.domain.ranks, runtime.port)
            if segment is None:
                lock.close()
                continue
            segment.lock = lock
            segment.generations[:] = segment.ready[:] = 0
            segment.acknowledged[:] = 0
            atexit.register(unlink_in, os.getpid(), path)
            return segment
    return None


class Mutant(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        kept = left_behind(runtime, worker)  # nobody removes what is locked
        super().__init__(runtime, worker)
        if kept is None:
            return
        pool = self._pool
        made = None if pool is None else pool.segment
        if pool is None or made is None or (made.size, made.stop, made.slots) != (kept.size, kept.stop, kept.slots):
            kept.unlink()
            return
        made.unlink()
        pool.segment = kept


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant space_of_the_predecessor", transport=Transport
)
