"""A worker's leases: which bytes of its segment are whose, until when."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from optimized.transport.words import ALIGNMENT, NEVER, Segment, aligned, nanoseconds, payload_start
from plumbline.interface import DevicePort, Domain

MOST_SLOTS = 4096
LEAST_SLOTS = 8
BYTES_PER_SLOT = 4096


class Space:
    """Free ranges of bytes. Best fit; a range given back merges with its neighbours. free: bytes in all."""

    def __init__(self, start: int, stop: int) -> None:
        self.free = 0
        self._stops: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._sizes: list[tuple[int, int]] = []
        """Size and start of each range, in ascending order."""
        self.give(start, stop)

    @property
    def largest(self) -> int:
        return self._sizes[-1][0] if self._sizes else 0

    def __str__(self) -> str:
        return f"{self.free} bytes, {self.largest} of them in one piece,"

    def take(self, size: int) -> int | None:
        """The start of ``size`` bytes; None where no range has so many."""
        at = bisect_left(self._sizes, (size, 0))
        if at == len(self._sizes):
            return None
        start = self._sizes[at][1]
        stop = self._stops[start]
        self._remove(start, stop)
        self._add(start + size, stop)
        return start

    def give(self, start: int, stop: int) -> None:
        if start in self._starts:
            before = self._starts[start]
            self._remove(before, start)
            start = before
        if stop in self._stops:
            after = self._stops[stop]
            self._remove(stop, after)
            stop = after
        self._add(start, stop)

    def _add(self, start: int, stop: int) -> None:
        if start < stop:
            self._stops[start], self._starts[stop] = stop, start
            insort(self._sizes, (stop - start, start))
            self.free += stop - start

    def _remove(self, start: int, stop: int) -> None:
        del self._stops[start], self._starts[stop]
        del self._sizes[bisect_left(self._sizes, (stop - start, start))]
        self.free -= stop - start


@dataclass(eq=False, slots=True)
class Lease:
    """One slot and its bytes: [start, stop) of each range. Reserved until it is granted to readers.

    starts: of each payload. nbytes: of all payloads. queued: what a stream writes as its ready word, after its payloads.
    """

    slot: int
    generation: int
    ranges: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]
    nbytes: int
    granted: bool = False
    queued: int = 0

    def holds(self, start: int, stop: int) -> bool:
        return any(lo <= start and stop <= hi for lo, hi in self.ranges)


def share(total: int, workers: int) -> int:
    """Bytes of one worker."""
    return total // workers // ALIGNMENT * ALIGNMENT


class Pool:
    """Leases in one segment. leased: payload bytes under a lease or reserved. Nothing here waits.

    space: in the file; on_device: in the device's part.
    """

    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        """Raises OSError: there is no shared memory, or not so much, or the share is too small for the control words."""
        size, device_size = (share(domain.pool_bytes, domain.workers), share(domain.device_bytes, domain.workers))
        slots = min(max((size + device_size) // BYTES_PER_SLOT, LEAST_SLOTS), MOST_SLOTS)
        start = payload_start(slots, domain.ranks)
        if size <= start and not device_size:
            raise OSError(f"a share of {size} bytes has no room for payloads")
        size = max(size, start)
        self.segment = Segment.create(domain.name, worker, size, device_size, slots, domain.ranks, port)
        self.space = Space(start, size)
        self.on_device = Space(size, self.segment.stop)
        self.leased = 0
        self._clock = domain.clock
        self._silence = domain.lease_seconds * 1e9
        self._generations = count(1)
        self._slots = list(range(slots))  # a heap: low numbers first, so that few rows need a look
        self._leases: list[Lease | None] = []
        """By slot, up to the last one in use."""
        self._reserved: dict[int, Lease] = {}
        """By generation: those that are granted to nobody."""
        self._ended: list[Lease] = []
        """Not free yet."""
        self._waiting = np.zeros((slots, domain.ranks), dtype=bool)
        """Readers that still have a part in the slot's lease."""
        self._granted_at = np.zeros(slots, dtype=np.int64)
        self._of = np.zeros(slots, dtype=np.int64)
        """The generation of each granted slot; 0 for all others."""

    def reserve(self, sizes: Sequence[int], on_device: Sequence[bool]) -> Lease | None:
        """Places for payloads of so many bytes, not all 0, which nobody reads yet. None: there is no room."""
        needed = [0, 0]
        starts = []
        for size, there in zip(sizes, on_device, strict=True):
            starts.append(needed[there])
            needed[there] += aligned(size)
        begin = self._take(needed) if self._slots else None
        if begin is None:
            return None
        starts = [start + begin[there] for start, there in zip(starts, on_device, strict=True)]
        ranges = [(start, start + size) for start, size in zip(begin, needed, strict=True) if size]
        slot = heapq.heappop(self._slots)
        lease = Lease(slot, next(self._generations), tuple(ranges), tuple(starts), sum(sizes))
        self._leases += [None] * (slot + 1 - len(self._leases))
        self._leases[slot] = lease
        self._reserved[lease.generation] = lease
        self.leased += lease.nbytes
        return lease

    def _take(self, needed: Sequence[int]) -> tuple[int, int] | None:
        """Where so many bytes in the file and on the device begin; None unless there is room for both."""
        in_file = self.space.take(needed[0]) if needed[0] else 0
        if in_file is None:
            return None
        on_device = self.on_device.take(needed[1]) if needed[1] else 0
        if on_device is None:
            if needed[0]:
                self.space.give(in_file, in_file + needed[0])
            return None
        return in_file, on_device

    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        """From now on ``readers`` have it, until each of them has let go of it."""
        for reader in readers:
            self._waiting[lease.slot, reader] = True
        self._granted_at[lease.slot] = nanoseconds(self._clock)
        self._of[lease.slot] = self.segment.generations[lease.slot] = lease.generation
        lease.granted = True
        self._reserved.pop(lease.generation, None)

    def withdraw(self, lease: Lease) -> None:
        """Undoes ``grant``: reserved again, and of no reader."""
        self._fence(lease)
        self._reserved.pop(lease.generation, None)
        lease.generation = next(self._generations)  # its ready word may say the other one by now
        lease.granted = False
        self._reserved[lease.generation] = lease

    def end(self, lease: Lease) -> None:
        """Fences the lease, then frees its bytes: once no copy into them is on its way. Idempotent."""
        if not self.has(lease):
            return
        self._fence(lease)
        self._reserved.pop(lease.generation, None)
        self._leases[lease.slot] = None
        while self._leases and self._leases[-1] is None:
            self._leases.pop()
        self.leased -= lease.nbytes
        self._ended.append(lease)
        self._free()

    def has(self, lease: Lease) -> bool:
        """Whether it has not ended."""
        return lease.slot < len(self._leases) and self._leases[lease.slot] is lease

    def _fence(self, lease: Lease) -> None:
        self.segment.generations[lease.slot] = self._of[lease.slot] = 0
        self._waiting[lease.slot] = False

    def _free(self) -> None:
        """Makes room of what has ended. A stream may still be at it, which need not be the one that writes there next."""
        ended, self._ended = self._ended, []
        for lease in ended:
            # Somebody who takes this worker for dead writes NEVER, over which the stream will still write.
            if lease.queued and not lease.queued <= int(self.segment.ready[lease.slot]) < NEVER:
                self._ended.append(lease)
                continue
            heapq.heappush(self._slots, lease.slot)
            for start, stop in lease.ranges:
                (self.space if start < self.segment.size else self.on_device).give(start, stop)

    def collect(self) -> None:
        """Ends the leases whose readers all acknowledged, were lost, or are silent."""
        self._free()
        top = len(self._leases)
        if not top:
            return
        segment, waiting, generations = self.segment, self._waiting[:top], self._of[:top]
        waiting &= (segment.generations[:top] == generations)[:, None]  # unless somebody took this worker for dead
        last_sign = np.maximum(segment.heard, self._granted_at[:top, None])
        waiting &= segment.acknowledged[:top] != generations[:, None]
        waiting &= nanoseconds(self._clock) - last_sign <= self._silence
        for slot in np.flatnonzero((generations != 0) & ~waiting.any(axis=1)).tolist():
            lease = self._leases[slot]
            assert lease is not None
            self.end(lease)

    def lost(self, reader: int) -> None:
        self._waiting[:, reader] = False
        self.collect()

    def reserved(self, byte: int) -> Lease | None:
        """The reserved place that this byte is in."""
        return next((lease for lease in self._reserved.values() if lease.holds(byte, byte + 1)), None)

    def close(self) -> None:
        for lease in [lease for lease in self._leases if lease is not None]:
            self.end(lease)
        self.segment.unlink()
