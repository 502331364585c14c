"""neondatabase/neon #1814 (closed), KiroCrew #810 (merged), skhd #83 (closed): a lock by ``flock`` belongs to the open
file, which a fork shares, so that a child keeps the lock of a process that is dead, and no successor can start.

Carried over: nothing closes a worker's lock in its forks. O_CLOEXEC is set, so that programs it starts do not have it;
what it forks and does not exec (a decoder's pool of processes, a helper that waits) does.

Shows with a worker that forks a child which goes on, and is killed. Its successor, and each one after it, finds the
segment "in use": the file and its memory stay as long as the child lives, beside the successor's own.

Breaks POOL-018 (an engine under a name whose processes were killed removes what they left behind), POOL-008 (earlier
workers included).
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport, words
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import DevicePort, Domain

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-018", "POOL-008")


class BrokenPool(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, port)
        if self.segment.lock is not None:
            words.locks.discard(self.segment.lock)  # what is in there is closed in forks


class BrokenPublisher(PoolPublisher):
    pool_type = BrokenPool


class BrokenTransport(SharedMemoryTransport):
    publisher_type = BrokenPublisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant lock_of_the_whole_family", transport=BrokenTransport
)
