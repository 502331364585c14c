"""Walks through all states of the lease model, and judges each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from plumbline.lease_invariants import LeaseView, ReadView, Snapshot, judged
from plumbline.lease_model import Move, collected, declared_lost, free_places, free_slots, in_force, settled, steps
from plumbline.lease_state import DEAD, IDLE, A, C, Fault, L, Lease, R, Setting, State, Step, at, everybody, initial

# ------------------------------------------------------------------------------------------------ snapshots of a state

SETS = tuple(frozenset(r for r in range(5) if mask >> r & 1) for mask in range(32))


def lease_view(setting: Setting, s: State, i: int, x: Lease) -> LeaseView:
    acked = 0
    for r in range(setting.readers):
        mine = [s.copies[at(setting, i, r, k)] for k in range(setting.copies)]
        if any(c.ack == A.LANDED and c.stage != C.OPENED for c in mine):
            acked |= 1 << r
    return LeaseView(
        i, x.stage != L.OVER, x.slot, x.place, SETS[everybody(setting)],
        SETS[acked], SETS[x.lost], SETS[x.silent], SETS[x.counted], x.cancelled,
    )  # fmt: skip


def reads(setting: Setting, s: State) -> Iterator[ReadView]:
    for n, c in enumerate(s.copies):
        if c.stage > C.DONE:
            i, r = divmod(n // setting.copies, setting.readers)
            if s.readers[r] != R.LEFT:
                yield ReadView(i, r, c.stage in (C.PASSED, C.PASSED_WRONG), c.stage != C.PASSED_WRONG)


def waiting(setting: Setting, s: State) -> Iterator[str]:
    publishing = s.busy == IDLE and any(x.stage == L.NEW for x in s.leases)
    room = free_slots(setting, s) and free_places(setting, s)
    if Fault.WAITS_FOR_ROOM in setting.faults and publishing and not room:
        yield "the worker, for room"
    if Fault.WAITS_FOR_READY in setting.faults:
        for n, c in enumerate(s.copies):
            i, r = divmod(n // setting.copies, setting.readers)
            x = s.leases[i]
            if c.stage == C.RECEIVED and s.readers[r] != R.CRASHED and s.ready[x.slot] != x.number:
                yield f"reader {r}, for the ready word of lease {i}"


def snapshot(setting: Setting, s: State, at_rest: bool = False) -> Snapshot:
    """Of a state as ``steps`` gives it."""
    views = tuple(
        lease_view(setting, s, i, x)
        for i, x in enumerate(s.leases)
        if in_force(setting, x) or L.ENDING <= x.stage <= L.OVER or x.stage == L.STUCK
    )
    return Snapshot(views, tuple(reads(setting, s)), tuple(waiting(setting, s)), at_rest, s.busy != DEAD)


def rest(setting: Setting, s: State) -> State | None:
    """The state after the last losses are known and ``collect`` ran, where every request has ended; else None."""
    if s.busy != IDLE or any(s.queues):
        return None
    for i, x in enumerate(s.leases):
        if x.stage == L.LEASED:
            for r in range(setting.readers):
                held = [s.copies[at(setting, i, r, k)] for k in range(setting.copies)]
                held = [held[0], *(c for c in held[1:] if c.stage != C.ABSENT)]
                if s.readers[r] != R.CRASHED and any(c.ack == A.NONE for c in held):
                    return None
    for r in range(setting.readers):
        if s.readers[r] == R.CRASHED:
            s = declared_lost(setting, s, r)
    return collected(setting, s)


# -------------------------------------------------------------------------------------------------------- exploration

Schedule = tuple[Step, ...]


@dataclass(frozen=True)
class Violation:
    """schedule: the shortest that leads there."""

    invariant: str
    what: str
    schedule: Schedule

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}\n{printed(self.schedule)}"


def printed(schedule: Schedule) -> str:
    return "\n".join(f"{n:4d}  {step}" for n, step in enumerate(schedule, 1))


@dataclass(frozen=True)
class Exploration:
    """complete: every reachable state was seen. shortest: a schedule to the first state of each kind that was asked for."""

    states: int
    transitions: int
    seconds: float
    complete: bool
    violation: Violation | None
    shortest: Mapping[str, Schedule]


Moves = Callable[[Setting, State], Iterator[Move]]
"""What can happen next: ``lease_model.steps``, or whole calls."""


def followed(setting: Setting, schedule: Schedule, moves: Moves) -> State:
    """Where a schedule leads, with what its last step showed."""
    s = raw = initial(setting)
    for step in schedule:
        raw = next(t for other, t in moves(setting, s) if other == step)
        s = settled(setting, raw)
    return raw


Names = tuple[int, ...]


def canonical(setting: Setting, s: State) -> tuple[State, Names]:
    """The same state with its readers in a fixed order, since they differ in their names only; and that order."""
    per, copies = setting.readers * setting.copies, setting.copies

    def column(r: int) -> tuple[object, ...]:
        mine = tuple(s.copies[n + k] for n in range(r * copies, len(s.copies), per) for k in range(copies))
        marks = tuple((x.counted >> r & 1, x.lost >> r & 1, x.silent >> r & 1) for x in s.leases)
        return s.readers[r], s.queues[r], mine, marks, tuple(word[r] for word in s.acks)

    order = tuple(sorted(range(setting.readers), key=column))
    if order == tuple(range(setting.readers)):
        return s, order

    def mask(bits: int) -> int:
        return sum(1 << k for k, r in enumerate(order) if bits >> r & 1)

    return s._replace(
        acks=tuple(tuple(word[r] for r in order) for word in s.acks),
        leases=tuple(x._replace(counted=mask(x.counted), lost=mask(x.lost), silent=mask(x.silent)) for x in s.leases),
        copies=tuple(
            s.copies[at(setting, i, r, k)] for i in range(setting.requests) for r in order for k in range(copies)
        ),
        queues=tuple(s.queues[r] for r in order),
        readers=tuple(s.readers[r] for r in order),
    ), order


Kinds = Mapping[str, Callable[[Snapshot, Step], bool]]


def explore(
    setting: Setting, *, limit: int = 3_000_000, moves: Moves = steps, kinds: Kinds | None = None
) -> Exploration:
    """Breadth first, to the end, to the first violation, to ``limit`` states, or until each of ``kinds`` was seen."""
    started, start = time.monotonic(), initial(setting)
    came: dict[State, tuple[State, Step, Names] | None] = {start: None}
    queue, transitions, shortest = deque([start]), 0, dict[str, Schedule]()
    missing = dict(kinds or {})

    def path(s: State, *last: Step) -> Schedule:
        """Back to the start, then forward with the readers under the names that they had there."""
        back = list[tuple[Step, Names]]()
        while (before := came[s]) is not None:
            s, step, order = before
            back.append((step, order))
        names, found = tuple(range(setting.readers)), list[Step]()
        for step, order in [*reversed(back), *((step, names) for step in last)]:
            found.append(step._replace(reader=names[step.reader]) if step.reader >= 0 else step)
            names = tuple(names[r] for r in order)
        return tuple(found)

    def found(schedule: Schedule, at_rest: bool = False) -> Violation:
        """Judged again along the schedule, so that readers have the same names in both."""
        raw = followed(setting, schedule, moves)
        resting = rest(setting, settled(setting, raw)) if at_rest else None
        wrong = judged(snapshot(setting, resting or raw, at_rest))
        assert wrong is not None
        return Violation(*wrong, (*schedule, Step("worker", "collects")) if at_rest else schedule)

    def result(complete: bool, violation: Violation | None = None) -> Exploration:
        return Exploration(len(came), transitions, time.monotonic() - started, complete, violation, shortest)

    while queue:
        s = queue.popleft()
        for step, raw in moves(setting, s):
            transitions += 1
            t, order = canonical(setting, settled(setting, raw))
            if t in came and t == raw and not missing:
                continue
            view = snapshot(setting, raw)
            if judged(view) is not None:
                return result(False, found(path(s, step)))
            for kind in [k for k, holds in missing.items() if holds(view, step)]:
                shortest[kind] = path(s, step)
                del missing[kind]
            if kinds and not missing:
                return result(False)
            if t in came:
                continue
            came[t] = (s, step, order)
            if (resting := rest(setting, t)) is not None and judged(snapshot(setting, resting, at_rest=True)):
                return result(False, found(path(t), at_rest=True))
            if len(came) >= limit:
                return result(False)
            queue.append(t)
    return result(True)
