"""nearai/ironclaw #7471 (merged; in review: an interval and one missed beat have to fit inside the lease), yugabyte-db #1348: the
interval at which heartbeats are really sent and the lease are not fitted to each other. Here a scheduler beats in each step, so
a beat that comes less than half of ``lease_seconds`` after the last one that was written is not written: it lists a folder.

Shows when beats are not regular: written at 0, again (and skipped) at 0.45 of the lease, then a long step of 0.7. The rank was
never silent for longer than 0.7, but a collection after 1.0 fences its leases: PayloadMissing or LeaseLost for good requests.
Beats at equal intervals always come in time, since half a lease and an interval below that are less than a lease.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006", "POOL-002", "POOL-005")


class Subscriber(PoolSubscriber):
    _written: float | None = None

    def beat(self) -> None:
        now = self.domain.clock()
        if self._written is not None and now - self._written < self.domain.lease_seconds / 2:
            return
        self._written = now
        super().beat()


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant beats_only_when_due", transport=Transport)
