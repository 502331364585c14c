"""What must hold of leases at any moment, as plain functions of a ``Snapshot``.

A snapshot says nothing of how leases are kept: the model gives one for each of its states, and a test builds one from the
words of a real pool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Readers = frozenset[int]


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease that was sent. held: its slot and memory are not free. acknowledged, lost, silent: its readers that finished
    their reads and said so, were declared dead, did not beat when its end was decided. counted: by the worker."""

    lease: int
    held: bool
    slot: int
    place: int
    readers: Readers
    acknowledged: Readers
    lost: Readers = frozenset()
    silent: Readers = frozenset()
    counted: Readers = frozenset()
    cancelled: bool = False

    @property
    def excused(self) -> Readers:
        return self.acknowledged | self.lost | self.silent


@dataclass(frozen=True, slots=True)
class ReadView:
    """What a reader has just been told. ok: it was given its payload, or its final check passed. right: the bytes that it
    read were those of its lease."""

    lease: int
    reader: int
    ok: bool
    right: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """waiting: who cannot go on until another acts. at_rest: all requests ended, all losses known, and collected since.
    worker: whether it lives."""

    leases: tuple[LeaseView, ...]
    reads: tuple[ReadView, ...] = ()
    waiting: tuple[str, ...] = ()
    at_rest: bool = False
    worker: bool = True


# --------------------------------------------------------------------------------------------------------- invariants

Invariant = Callable[[Snapshot], str | None]


def values_are_safe(s: Snapshot) -> str | None:
    for read in s.reads:
        if read.ok and not read.right:
            return f"reader {read.reader} passes its check of lease {read.lease} with the bytes of another lease"
    return None


def free_only_when_done(s: Snapshot) -> str | None:
    for x in s.leases if s.worker else ():  # a slot of the dead is free for nobody
        if not x.held and not x.cancelled and x.readers - x.excused:
            return f"the slot of lease {x.lease} is free, and readers {sorted(x.readers - x.excused)} still read"
    return None


def only_its_own_acknowledgement_counts(s: Snapshot) -> str | None:
    for x in s.leases:
        if x.counted - x.acknowledged:
            return f"lease {x.lease} counts readers {sorted(x.counted - x.acknowledged)}, who have not acknowledged it"
    return None


def one_lease_in_a_place(s: Snapshot) -> str | None:
    held = [x for x in s.leases if x.held]
    for k, x in enumerate(held):
        for y in held[k + 1 :]:
            if x.slot == y.slot or x.place == y.place:
                return f"leases {x.lease} and {y.lease} have the same slot or memory"
    return None


def the_healthy_are_served(s: Snapshot) -> str | None:
    """Whoever beats, has not released, and was not declared lost gets its payload, unless the request was cancelled or the
    worker is dead."""
    for read in s.reads if s.worker else ():
        for x in s.leases:
            if x.lease == read.lease and not read.ok and x.held and not x.cancelled and read.reader not in x.excused:
                return f"reader {read.reader} is refused lease {x.lease}, which it holds"
    return None


def nothing_leaks(s: Snapshot) -> str | None:
    kept = [x.lease for x in s.leases if x.held]
    return f"all requests ended, and leases {kept} are still held" if s.at_rest and kept else None


def nobody_waits(s: Snapshot) -> str | None:
    return f"waits for others: {', '.join(s.waiting)}" if s.waiting else None


INVARIANTS: tuple[Invariant, ...] = (
    values_are_safe,
    only_its_own_acknowledgement_counts,
    free_only_when_done,
    one_lease_in_a_place,
    the_healthy_are_served,
    nothing_leaks,
    nobody_waits,
)


def judged(s: Snapshot) -> tuple[str, str] | None:
    """The first invariant that does not hold, by name, and how."""
    for invariant in INVARIANTS:
        if (found := invariant(s)) is not None:
            return invariant.__name__, found
    return None
