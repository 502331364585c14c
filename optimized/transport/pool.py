"""A worker's leases: which bytes of its segment are whose, until when."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, count

import numpy as np

from optimized.transport.words import ALIGNMENT, Segment, aligned, nanoseconds, payload_start
from plumbline.interface import Domain

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
    """One slot and its bytes [start, stop). Reserved until it is granted to readers.

    starts: of each payload. nbytes: of all payloads.
    """

    slot: int
    generation: int
    start: int
    stop: int
    starts: tuple[int, ...]
    nbytes: int
    granted: bool = False


class Pool:
    """Leases in one segment. leased: payload bytes under a lease or reserved. Nothing here waits."""

    def __init__(self, domain: Domain, worker: int) -> None:
        """Raises OSError: there is no shared memory, or not so much, or the share is too small for the control words."""
        size = domain.pool_bytes // domain.workers // ALIGNMENT * ALIGNMENT
        slots = min(max(size // BYTES_PER_SLOT, LEAST_SLOTS), MOST_SLOTS)
        if size <= payload_start(slots, domain.ranks):
            raise OSError(f"a share of {size} bytes has no room for payloads")
        self.segment = Segment.create(domain.name, worker, size, slots, domain.ranks)
        self.space = Space(self.segment.payload_start, size)
        self.leased = 0
        self._clock = domain.clock
        self._silence = round(domain.lease_seconds * 1e9)
        self._generations = count(1)
        self._slots = list(range(slots))  # a heap: low numbers first, so that few rows need a look
        self._leases: list[Lease | None] = []
        """By slot, up to the last one in use."""
        self._waiting = np.zeros((slots, domain.ranks), dtype=bool)
        """Readers that still have a part in the slot's lease."""
        self._granted_at = np.zeros(slots, dtype=np.int64)
        self._of = np.zeros(slots, dtype=np.int64)
        """The generation of each granted slot; 0 for all others."""

    def reserve(self, sizes: Sequence[int]) -> Lease | None:
        """One place for payloads of so many bytes, not all 0, which nobody reads yet. None: there is no room."""
        size = sum(map(aligned, sizes))
        if not self._slots or (start := self.space.take(size)) is None:
            return None
        slot = heapq.heappop(self._slots)
        starts = tuple(accumulate(map(aligned, sizes[:-1]), initial=start))
        lease = Lease(slot, next(self._generations), start, start + size, starts, sum(sizes))
        self._leases += [None] * (slot + 1 - len(self._leases))
        self._leases[slot] = lease
        self.leased += lease.nbytes
        return lease

    def grant(self, lease: Lease, readers: Iterable[int]) -> None:
        """From now on ``readers`` have it, until each of them has let go of it."""
        self._waiting[lease.slot, list(readers)] = True
        self._granted_at[lease.slot] = nanoseconds(self._clock)
        self._of[lease.slot] = self.segment.generations[lease.slot] = lease.generation
        lease.granted = True

    def withdraw(self, lease: Lease) -> None:
        """Undoes ``grant``: reserved again, and of no reader."""
        self.segment.generations[lease.slot] = self._of[lease.slot] = 0
        self._waiting[lease.slot] = False
        lease.granted = False

    def end(self, lease: Lease) -> None:
        """Fences the lease, then frees its bytes. Idempotent."""
        if lease.slot >= len(self._leases) or self._leases[lease.slot] is not lease:
            return
        self.withdraw(lease)
        self._leases[lease.slot] = None
        while self._leases and self._leases[-1] is None:
            self._leases.pop()
        heapq.heappush(self._slots, lease.slot)
        self.space.give(lease.start, lease.stop)
        self.leased -= lease.nbytes

    def collect(self) -> None:
        """Ends the leases whose readers all acknowledged, were lost, or are silent."""
        top = len(self._leases)
        if not top:
            return
        segment, waiting, generations = self.segment, self._waiting[:top], self._of[:top]
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
        for lease in self._leases:
            if lease is not None and not lease.granted and lease.start <= byte < lease.stop:
                return lease
        return None

    def close(self) -> None:
        for lease in [lease for lease in self._leases if lease is not None]:
            self.end(lease)
        self.segment.unlink()
