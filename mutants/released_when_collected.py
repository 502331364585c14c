"""SGLang #30398 (merged: ``release_on_gc`` gives a slot back when its object is collected), dora #1833 (merged: a sample is
freed under an array that still views it, because only the first view was counted), fastsafetensors #57.

Here: a feature that nobody holds any longer releases itself, so that requests which a rank drops leak no lease. What
``open`` gives is a view of the pool, though, and keeps the mapping alive but not the lease: who keeps the tensor and lets
go of the feature reads bytes that the worker was told are free. There is no fence, and nobody left to ask ``check``. Also a
lease counts as released that no reader has released.

Shows: open, drop the received request, keep the tensor; then a publication in the same place. Or: receive, drop, collect:
``leased`` is 0. An Embed keeps items until ``finish``, so requests that run as usual are right.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport, messages
from optimized.transport.subscriber import PoolFeature, PoolSubscriber, placed
from plumbline.interface import BadMessage, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-002",)


class Feature(PoolFeature):
    def __del__(self) -> None:
        self.release()


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        wire = messages.decode(message)
        lease = wire.lease
        if lease is None:
            return messages.prepared_of(wire, None)
        if lease.worker >= self.domain.workers:
            raise BadMessage(f"worker {lease.worker}, where there are {self.domain.workers}")
        segment = self._segment(lease.worker, lease.stamp)
        if segment is not None and lease.slot >= segment.slots:
            raise BadMessage(f"slot {lease.slot}, where there are {segment.slots}")
        hold = self.hold_type(self, lease, segment)
        features: dict[messages.WirePart, PoolFeature] = {}

        def feature(part: messages.WirePart) -> PoolFeature:
            if part not in features:
                features[part] = Feature(hold, *placed(part, segment))
                hold.features += 1
            return features[part]

        try:
            prepared = messages.prepared_of(wire, feature)
            if not features:
                raise BadMessage("a lease of nothing")
        except BadMessage:
            hold.segment = None  # nothing was taken over, so nothing is acknowledged
            raise
        self.holds.add(hold)
        return prepared


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant released_when_collected", transport=Transport
)
