"""HAMi-core #292 (merged, 2026-08): a forked child inherits its parent's entry in shared memory, cleans up as if it were its own,
and clears what the parent still uses; kin libfabric #12671 (merged, 2026-08: a forked child must not run inherited cleanup).

Here: a fork of a rank's process has no part in its leases and should not keep segments mapped, so a subscriber is closed in the
child right after the fork, as a publisher's lock is. But ``close`` releases what is unreleased, by words in memory that both
share: the child acknowledges for its parent.

Shows: a rank's process forks (``multiprocessing`` with fork, a data loader, ``os.fork``) while a received payload is
unreleased: at the worker's next collection the lease ends, and the parent has PayloadMissing or LeaseLost for a good request.
Processes that are spawned, and forks before the first message, do no harm.
"""

from __future__ import annotations

import dataclasses
import os
import weakref

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-002", "POOL-006")

inherited: weakref.WeakSet[Subscriber] = weakref.WeakSet()


class Subscriber(PoolSubscriber):
    def __init__(self, runtime: Runtime, rank: int) -> None:
        super().__init__(runtime, rank)
        inherited.add(self)


def leave_all() -> None:
    """In a child: its mappings go, and it beats for nobody."""
    for subscriber in list(inherited):
        subscriber.close()


os.register_at_fork(after_in_child=leave_all)


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant left_by_a_fork", transport=Transport)
