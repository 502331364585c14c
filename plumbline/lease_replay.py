"""Schedules of whole calls of the interface, drawn from the lease model, and run on a real pool beside the model."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Protocol

from plumbline.lease_explore import Schedule, printed, snapshot
from plumbline.lease_invariants import ReadView, Snapshot, judged
from plumbline.lease_model import (
    Move,
    cancels,
    collected,
    continues,
    declared_lost,
    in_force,
    publishes,
    reader_steps,
    settled,
)
from plumbline.lease_state import DEAD, IDLE, A, L, Setting, State, Step, at, initial


class Pool(Protocol):
    """A real worker and its readers in one process, under a clock that the test moves."""

    def do(self, step: Step, beating: frozenset[int]) -> ReadView | None:
        """One call. beating: who beats while time passes. The outcome of a ``checks``, and of an ``opens`` that is refused;
        None to a reader that knows of the worker's death."""
        ...

    def snapshot(self, reads: tuple[ReadView, ...], at_rest: bool) -> Snapshot: ...


class Divergence(AssertionError):
    """The pool did something else than the model, or broke an invariant."""


def calls(setting: Setting, s: State) -> Iterator[Move]:
    """What can be called next, each call whole. Nobody crashes: a reader that never acts again, and is silent, is crashed."""
    if s.busy != DEAD:
        yield Step("worker", "collects"), collected(setting, s)
        ready = collected(setting, s)
        published = next(publishes(setting, ready), None)
        if published is not None:
            step, t = published
            yield Step("worker", "publishes", step.lease), finished(setting, t)
        for step, t in cancels(setting, s):
            yield step, finished(setting, t)
        for r in range(setting.readers):
            if any(x.stage == L.LEASED and not x.lost >> r & 1 for x in s.leases):
                lost = collected(setting, declared_lost(setting, s, r))
                yield Step("worker", "is told of the loss of", reader=r), lost
        yield Step("worker", "crashes"), s._replace(busy=DEAD)
    for r in range(setting.readers):
        yield from reader_calls(setting, s, r)


def finished(setting: Setting, s: State) -> State:
    while s.busy >= 0:
        s = continues(setting, s)[1]
    return s


def reader_calls(setting: Setting, s: State, r: int) -> Iterator[Move]:
    quiet = 1 << r
    for x in s.leases:
        quiet |= x.silent if in_force(setting, x) else 0
    for step, t in reader_steps(setting, s, r):
        if step.action == "is silent for too long":
            t = s._replace(leases=tuple(x._replace(silent=quiet) if in_force(setting, x) else x for x in s.leases))
        released = step.copy >= 0 and s.copies[at(setting, step.lease, r, step.copy)].ack != A.NONE
        if step.action != "crashes" and not released:
            yield step, t


def walk(setting: Setting, rng: random.Random, length: int) -> Schedule:
    """A random schedule. The worker seldom dies, so that most of it is about leases."""
    s, schedule = initial(setting), list[Step]()
    for _ in range(length):
        moves = [m for m in calls(setting, s) if m[0].action != "crashes" or rng.random() < 0.05]
        if not moves:
            break
        step, raw = rng.choice(moves)
        schedule.append(step)
        s = settled(setting, raw)
    return tuple(schedule)


def ending(setting: Setting, s: State) -> Step | None:
    """The next call of those that end all requests: deliver and release everything, then collect."""
    for step, _ in calls(setting, s):
        if step.action.startswith("releases") or step.action == "receives":
            return step
    return None


def replay(setting: Setting, schedule: Schedule, pool: Pool) -> None:
    """Runs the schedule on both, then ends all requests. Raises Divergence at the first difference.

    Compared after each call: which leases are held, and what readers were told. The invariants judge the pool as well.
    """
    s, done = initial(setting), list[Step]()

    def run(step: Step, at_rest: bool = False) -> None:
        nonlocal s
        raw = next(t for other, t in calls(setting, s) if other == step)
        silent = 0
        for x in raw.leases:
            silent |= x.silent if in_force(setting, x) else 0
        beating = frozenset(r for r in range(setting.readers) if not silent >> r & 1)
        done.append(step)
        outcome = pool.do(step, beating)
        model = snapshot(setting, raw, at_rest)
        real = pool.snapshot((outcome,) if outcome else (), at_rest)
        compare(done, model, real, {i for i, x in enumerate(raw.leases) if in_force(setting, x)})
        s = settled(setting, raw)

    for step in schedule:
        run(step)
    while (last := ending(setting, s)) is not None:
        run(last)
    if s.busy == IDLE:
        run(Step("worker", "collects"), at_rest=True)


def compare(done: list[Step], model: Snapshot, real: Snapshot, held: set[int]) -> None:
    wrong = judged(real)
    found = {x.lease for x in real.leases if x.held}
    if wrong is None and model.worker and held != found:
        wrong = "held", f"leases {sorted(held)} of the model, {sorted(found)} of the pool"
    if wrong is None and model.reads != real.reads:
        wrong = "told", f"the model {model.reads}, the pool {real.reads}"
    if wrong is not None:
        raise Divergence(f"{wrong[0]}: {wrong[1]}\n{printed(tuple(done))}")
