"""A rank's side of transport: what messages speak of, as features that read the workers' segments in place."""

from __future__ import annotations

import contextlib
import logging

import torch
from torch import Tensor

from optimized.transport import messages
from optimized.transport.watchdog import Watchdog
from optimized.transport.words import FOLDER, NEVER, Segment, file_name, nanoseconds, segments_of
from plumbline.interface import (
    BadMessage,
    LeaseLost,
    PayloadMissing,
    Prepared,
    Runtime,
    TensorMeta,
)

CPU = torch.device("cpu")
log = logging.getLogger(__name__)


class Hold:
    """What one received message holds of a lease: acknowledged once, when the last of its features is released.

    A rank that receives a message twice has one part in the lease all the same, and the first release ends it.

    segment: None once it has ended, or where there is no such segment. features: how many are unreleased.
    """

    def __init__(self, subscriber: PoolSubscriber, lease: messages.WireLease, segment: Segment | None) -> None:
        self.segment = segment
        self.worker, self.slot, self.generation = lease.worker, lease.slot, lease.generation
        self.features = 0
        self._subscriber = subscriber
        self._fenced = segment is None

    @property
    def fenced(self) -> bool:
        """Whether the lease ended before this rank's part in it."""
        if self.segment is None:
            return self._fenced
        segment, slot = self.segment, self.slot
        return int(segment.generations[slot]) != self.generation or int(segment.ready[slot]) == NEVER

    @property
    def ready(self) -> bool:
        segment = self.segment
        return segment is not None and int(segment.ready[self.slot]) >= self.generation and not self.fenced

    def place(self) -> Segment:
        """Where to read, in order on the current stream. Raises PayloadMissing."""
        segment = self.segment
        if segment is None or self.fenced:
            raise PayloadMissing("the payload was released here, or its place was taken back")
        if int(segment.ready[self.slot]) < self.generation:
            self._subscriber.port.wait(segment.ready_word(self.slot), self.generation)
            self._subscriber.watchdog.watch(segment, self.slot, self.generation)
        return segment

    def move(self, tensor: Tensor) -> Tensor:
        return self._subscriber.port.move(tensor)

    def end(self) -> None:
        """Acknowledges after the work queued on the current stream. Idempotent."""
        self._fenced, segment, self.segment = self.fenced, self.segment, None
        self._subscriber.holds.discard(self)
        # In a place that is another lease's by now, this would overwrite what that one was told.
        if segment is not None and not self._fenced:
            word = segment.acknowledgement(self.slot, self._subscriber.rank)
            self._subscriber.port.write(word, self.generation)

    def refuse(self) -> None:
        """Nobody guards the payload any more. Nobody waits for an acknowledgement either."""
        self._fenced, self.segment = True, None
        self._subscriber.holds.discard(self)


class PoolFeature:
    """A payload in a worker's segment: a view of it where the memory is the reader's too, else one move, kept until
    release."""

    def __init__(self, hold: Hold, start: int, meta: TensorMeta) -> None:
        self.meta = meta
        self._hold, self._start = hold, start
        self._released = False
        self._fenced = False
        """What was known when it was released."""
        self._opened: dict[bool, Tensor] = {}
        """By whether it is for the CPU."""

    def ready(self) -> bool:
        return not self._released and self._hold.ready

    def open(self, device: torch.device) -> Tensor:
        if self._released:
            raise PayloadMissing("the payload was released", hint="open it before release")
        segment = self._hold.place()
        on_host = device.type == "cpu"
        if on_host and not self._hold.ready:
            raise PayloadMissing("the payload is not there yet", hint="open it for the host once it is ready()")
        opened = self._opened.get(on_host)
        if opened is None:
            if segment.device is None and self._start >= segment.size:
                raise PayloadMissing(f"this rank cannot use the device that it is on: {segment.refusal}")
            view = segment.tensor(self._start, self.meta.shape, self.meta.dtype)
            opened = self._opened[on_host] = view.cpu() if on_host else self._hold.move(view)
        return opened

    def release(self) -> None:
        if self._released:
            return
        self._released, self._fenced = True, self._hold.fenced
        self._opened.clear()
        self._hold.features -= 1
        if not self._hold.features:
            self._hold.end()

    def check(self) -> None:
        if self._fenced if self._released else self._hold.fenced:
            raise LeaseLost("the payload's place was taken back before this rank had released it")


class PoolSubscriber:
    """Reads the segments of all workers of the domain, each mapped once. holds: of received messages, not ended."""

    hold_type = Hold

    def __init__(self, runtime: Runtime, rank: int) -> None:
        self.domain = runtime.domain
        self.port = runtime.port
        self.watchdog = Watchdog()
        self.rank = rank
        self.holds: set[Hold] = set()
        self._segments: dict[tuple[int, int], Segment] = {}
        self._unusable: set[tuple[int, int]] = set()
        self.beat()  # maps what there is, so that it can be read even if its worker dies and another rank removes the name

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
            made = features.get(part)
            if made is None:
                made = features[part] = PoolFeature(hold, *placed(part, segment))
            return made

        prepared = messages.prepared_of(wire, feature)
        if not features:
            raise BadMessage("a lease of nothing")
        hold.features = len(features)
        self.holds.add(hold)
        return prepared

    def beat(self) -> None:
        self.watchdog.forget()
        with contextlib.suppress(OSError):  # no descriptor is free: what is mapped is still read
            self._look()
        now = nanoseconds(self.domain.clock)
        for segment in self._segments.values():
            segment.heard[self.rank] = now

    def _look(self) -> None:
        """Which segments there are now. Raises OSError."""
        known = segments_of(self.domain.name)
        for key in [key for key in self._segments if key not in known]:
            self.watchdog.keep(self._segments.pop(key))
        self._unusable &= known.keys()
        for worker, stamp in known:
            self._segment(worker, stamp)

    def lost(self, worker: int) -> None:
        """Payloads of its messages that are still on their way are refused too, on all ranks, and no stream waits for them
        any longer. Start no successor before all ranks know."""
        for (owner, _), segment in self._segments.items():
            if owner == worker:
                segment.fence()
                self.watchdog.release(segment)
        with contextlib.suppress(OSError):
            for (owner, _), path in segments_of(self.domain.name).items():
                if owner == worker:
                    path.unlink(missing_ok=True)
        for hold in [hold for hold in self.holds if hold.worker == worker]:
            hold.refuse()
        for key in [key for key in self._segments if key[0] == worker]:
            self.watchdog.keep(self._segments.pop(key))

    def close(self) -> None:
        for hold in list(self.holds):
            hold.end()
        self._segments.clear()

    def _segment(self, worker: int, stamp: int) -> Segment | None:
        """That worker's segment, mapped; None where it is gone."""
        key = (worker, stamp)
        if key in self._unusable:
            return None
        if key not in self._segments:
            path = FOLDER / file_name(self.domain.name, worker, stamp)
            try:
                segment = Segment.attach(path, stamp, self.domain.ranks, self.port)
            except OSError as error:
                log.warning("rank %d cannot use the pool of worker %d: %s", self.rank, worker, error)
                self._unusable.add(key)
                return None
            if segment is None:
                return None
            if segment.refusal:
                log.warning("rank %d cannot use the device of worker %d: %s", self.rank, worker, segment.refusal)
            self._segments[key] = segment
        return self._segments[key]


def placed(part: messages.WirePart, segment: Segment | None) -> tuple[int, TensorMeta]:
    """Where a payload begins, and what it is. Raises BadMessage: it cannot lie there."""
    nbytes, dtype = messages.nbytes_of(part), messages.dtype_of(part)
    assert isinstance(part.at, int)
    device = CPU
    if segment is not None:
        lo, hi = segment.payload_start, segment.size
        if part.at >= segment.size:
            lo, hi = segment.size, segment.stop
            device = segment.device.device if segment.device is not None else CPU
        if not lo <= part.at <= hi - nbytes:
            raise BadMessage(f"a payload of {nbytes} bytes at {part.at} is not inside the segment")
    if part.at % dtype.itemsize:
        raise BadMessage(f"a payload of {dtype} at {part.at}")
    return part.at, TensorMeta(part.shape, dtype, nbytes, device)
