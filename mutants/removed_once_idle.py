"""ray #65962 (open, 2026-09, for #65905; in review): removing a remote agent is put off while transfers of it are in flight,
and the removal that was put off then meets the agent that was added under the same name meanwhile.

Here: a rank that learns that a worker is dead, and still has unreleased payloads of it, puts the removal off until the last of
them is released, since they can be read as well as before: at the first beat after that. By then the worker's successor may
be there, started when all ranks knew. It has the same number: the rank fences its leases and removes its name.

Shows: ``Subscriber.lost`` with unreleased payloads of that worker: where all ranks hold some, its file stays in
/dev/shm after ``lost`` on all of them. And
with a successor started before they are released: its payloads are PayloadMissing or LeaseLost on all ranks after that
beat, and ranks that have not mapped it never can. A worker of which nothing is held is removed at once, as it should be.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-007", "POOL-018")


class Subscriber(PoolSubscriber):
    def __init__(self, runtime: Runtime, rank: int) -> None:
        self._dying: set[int] = set()
        """Workers that are dead, and have payloads that are still read here."""
        super().__init__(runtime, rank)

    def lost(self, worker: int) -> None:
        if self.reads(worker):
            self._dying.add(worker)
        else:
            super().lost(worker)

    def beat(self) -> None:
        for worker in sorted(self._dying):
            if not self.reads(worker):
                self._dying.discard(worker)
                super().lost(worker)
        super().beat()

    def close(self) -> None:
        super().close()
        for worker in sorted(self._dying):
            super().lost(worker)

    def reads(self, worker: int) -> bool:
        return any(hold.worker == worker for hold in self.holds)


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant removed_once_idle", transport=Transport)
