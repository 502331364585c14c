"""smg #1893 (merged, 2026-07; review): segments of a request whose building fails half way are cleaned up by nobody, so every way
out of it has to clean up; SGLang #37047 (merged) acknowledges leases where a later item fails. This is that rule applied to
receiving, where who fails does not own what it lets go of.

Here: a rank that refuses a message acknowledges the lease that it names, so that the worker need not wait until the rank is
silent. Whether the message was the worker's is just what is in doubt: a damaged copy, or bytes made up by somebody, end this
rank's part in a lease whose good message is on its way, queued here, or being read.

Shows: bytes whose lease can be read and is alive, but which are refused for something else (a span, a grid, an identity, a
place outside the segment). Then the good message's payload is PayloadMissing, or its reader has LeaseLost, once the worker
collects. Messages that are whole, and garbage that names no lease, are treated right.
"""

from __future__ import annotations

import contextlib
import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport, messages
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import BadMessage, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-009", "POOL-002")


class Subscriber(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        try:
            return super().receive(message)
        except BadMessage:
            with contextlib.suppress(BadMessage):
                self.let_go(messages.decode(message).lease)
            raise

    def let_go(self, lease: messages.WireLease | None) -> None:
        """Nobody here will read it, and the worker should not wait for that."""
        if lease is None or lease.worker >= self.domain.workers:
            return
        segment = self._segment(lease.worker, lease.stamp)
        if segment is None or lease.slot >= segment.slots:
            return
        if int(segment.generations[lease.slot]) == lease.generation:
            self.port.write(segment.acknowledgement(lease.slot, self.rank), lease.generation)


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(
    optimized.implementation, name="mutant refused_is_acknowledged", transport=Transport
)
