"""The state of the lease model: the shared words, the worker's memory, and where each reader is.

``lease_model.py`` has the steps between states.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, TypeVar


class Fault(enum.Enum):
    """Ways to get the protocol wrong. The exploration must find a counterexample for each."""

    ACKNOWLEDGES_BEFORE_READ = "a reader acknowledges, and reads afterwards"
    CHECKS_BEFORE_READ = "a reader checks the slot's number, and reads afterwards"
    NEVER_CHECKS = "a reader does not compare the number after it read"
    ACKNOWLEDGES_STALE = (
        "a reader acknowledges a lease that was fenced, over its newer acknowledgement of the same slot"
    )
    WAITS_FOR_READY = "a reader waits until the ready word has come"
    MESSAGE_BEFORE_READY = "the message is sent before payload and ready word are written"
    FENCE_AFTER_REUSE = "the number changes only after the next payload was written"
    LOSS_UNFENCED = "a lease that ends by loss or silence keeps its number"
    ACKNOWLEDGED_UNFENCED = "a lease that all readers acknowledged keeps its number until the slot is used again"
    EXPIRES_BEATING = "a reader is taken for silent although it beats"
    COUNTS_ANY = "an acknowledgement of any lease counts"
    FREES_AT_FIRST = "one acknowledgement frees for all readers"
    NUMBERS_REPEAT = "a slot is not retired before its numbers repeat"
    ACKNOWLEDGEMENTS_KEPT = "acknowledgements are not cleared before a slot is used again"
    NUMBER_TORN = "a number is written in two halves"
    CANCELS_SLOT = "a late cancel ends whichever lease has the slot now"
    LOST_KEPT = "the part of a lost reader stays"
    FAILURE_KEEPS = "a publish that fails keeps its slot"
    WAITS_FOR_ROOM = "a publish that finds no room waits for some"


@dataclass(frozen=True)
class Setting:
    """What is explored. copies: how often a message may be delivered to the same reader. modulus: numbers of a slot (0: they
    never end). queued: an acknowledgement lands later than the release that queued it."""

    slots: int = 1
    places: int = 1
    readers: int = 1
    requests: int = 2
    copies: int = 1
    modulus: int = 0
    queued: bool = False
    faults: frozenset[Fault] = frozenset()


class L(enum.IntEnum):
    """Stages of a lease, in their order."""

    NEW = 0
    TAKEN = 1  # slot and place chosen
    EARLY = 2  # message sent too early, a fault
    WRITTEN = 3
    READY = 4
    LEASED = 5  # message sent
    ENDING = 6  # decided, not yet fenced
    TORN = 7  # half of the number written, a fault
    FENCED = 8
    OVER = 9
    PAST = 10  # over, and readers may still come back to it
    STUCK = 11  # failed and kept, a fault
    GONE = 12  # nobody can come back to it, or it never was


class C(enum.IntEnum):
    """Stages of one delivery of a message at one reader."""

    ABSENT = 0
    RECEIVED = 1
    OPENED = 2
    READ = 3
    READ_WRONG = 4
    DONE = 5
    # What a step has just shown; settles to RECEIVED, or to DONE when it is released.
    PASSED = 6
    PASSED_WRONG = 7
    REFUSED = 8  # by open
    FENCED_OFF = 9  # by check


class A(enum.IntEnum):
    """A delivery's acknowledgement."""

    NONE = 0
    QUEUED = 1
    LANDED = 2
    DROPPED = 3  # never to be written


class R(enum.IntEnum):
    """A reader. LEFT: it was told that the worker is dead."""

    RUNS = 0
    CRASHED = 1
    LEFT = 2


T = TypeVar("T")

IDLE, DEAD = -1, -2
NOBODY = -1


class Lease(NamedTuple):
    """counted, lost, silent: bit sets of readers: whose acknowledgement the worker saw, whose part it ended otherwise, who
    does not beat."""

    stage: int = L.NEW
    slot: int = 0
    place: int = 0
    number: int = 0
    counted: int = 0
    lost: int = 0
    silent: int = 0
    cancelled: bool = False


class Copy(NamedTuple):
    stage: int = C.ABSENT
    ack: int = A.NONE


class State(NamedTuple):
    """numbers, ready, acks: the words of each slot. memory: whose bytes are at each place.

    copies: by lease, reader and delivery. queues: each reader's queued acknowledgements, as lease * Setting.copies +
    delivery. busy: the lease that the worker is at, IDLE or DEAD.
    """

    numbers: tuple[int, ...]
    ready: tuple[int, ...]
    acks: tuple[tuple[int, ...], ...]
    memory: tuple[int, ...]
    leases: tuple[Lease, ...]
    copies: tuple[Copy, ...]
    queues: tuple[tuple[int, ...], ...]
    readers: tuple[int, ...]
    busy: int


class Step(NamedTuple):
    """One line of a schedule. lease, reader, copy: -1 where the action has none."""

    actor: str
    action: str
    lease: int = -1
    reader: int = -1
    copy: int = -1

    def __str__(self) -> str:
        about = f" lease {self.lease}" if self.lease >= 0 else ""
        whom = f" reader {self.reader}" if self.reader >= 0 and self.actor != "reader" else ""
        again = f" (delivery {self.copy + 1})" if self.copy > 0 else ""
        who = f"reader {self.reader}" if self.actor == "reader" else self.actor
        return f"{who:10s} {self.action}{about}{whom}{again}"


def initial(setting: Setting) -> State:
    n, r = setting.requests, setting.readers
    return State(
        numbers=(1,) * setting.slots,
        ready=(0,) * setting.slots,
        acks=((0,) * r,) * setting.slots,
        memory=(NOBODY,) * setting.places,
        leases=(Lease(),) * n,
        copies=(Copy(),) * (n * r * setting.copies),
        queues=((),) * r,
        readers=(R.RUNS,) * r,
        busy=IDLE,
    )


def put(values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    return (*values[:at], value, *values[at + 1 :])


def with_lease(s: State, i: int, lease: Lease, busy: int | None = None) -> State:
    return s._replace(leases=put(s.leases, i, lease), busy=s.busy if busy is None else busy)


def everybody(setting: Setting) -> int:
    return (1 << setting.readers) - 1


def at(setting: Setting, lease: int, reader: int, copy: int) -> int:
    """Where in ``State.copies``."""
    return (lease * setting.readers + reader) * setting.copies + copy
