"""The processes of a transport case: who is alive, what each was given, and how one is started or told of a death."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from plumbline import process_state
from plumbline.interface import Domain, Implementation, PlumblineError, Publisher, Slot, Subscriber, Ticket
from plumbline.own_code import told
from plumbline.story import Moment, Story
from plumbline.transport_host import capacity, fresh_name, transport_of
from plumbline.transport_judge import Copy, Lease, Model
from plumbline.transport_scenario import LEASE_SECONDS, TransportCase

T = TypeVar("T")


class Stop(Exception):
    """The case cannot go on: what had to succeed did not, and the verdict is in."""


class Stage:
    """The processes of one case, who of them is alive, and what they have been given."""

    def __init__(self, case: TransportCase, implementation: Implementation, model: Model) -> None:
        self.case, self.implementation, self.model = case, implementation, model
        model.now = case.start
        self.rows = capacity(implementation, case.pool, case.workers, case.ranks)
        self.reach: set[str] = set()
        self.domain = Domain(fresh_name(), case.workers, case.ranks, case.pool, LEASE_SECONDS, lambda: self.model.now)
        self.publishers: dict[int, Publisher] = {}
        self.subscribers: dict[int, Subscriber] = {}
        self.killed: list[object] = []
        """Kept, so that nobody tidies up after a process that was killed."""
        self.killed_workers: set[int] = set()
        self.unburied: set[int] = set()
        """Killed and succeeded while no rank was there to be told."""
        self.closed_workers: set[int] = set()
        self.killed_ranks: set[int] = set()
        self.workers = set(range(case.workers))
        """All that there ever were. A successor's is its predecessor's plus ``case.workers``."""
        self.slots: dict[tuple[int, int], tuple[Slot, int]] = {}
        """Reserved, written, and not published yet: with their bytes, by worker and number of the request."""
        self.tickets: list[tuple[Lease, Ticket]] = []
        self.copies: dict[int, list[Copy]] = {r: [] for r in range(case.ranks)}
        self.moments: list[Moment] = []
        self._before: list[int] = []
        """For each moment, how much was wrong before it."""

    def say(self, text: str) -> None:
        """What is done now, for whoever reads the story of the case."""
        self.moments.append(Moment(text))
        self._before.append(len(self.model.verdicts.violations))

    def story(self) -> Story:
        """What was done until now, and what of it was wrong."""
        violations, story = self.model.verdicts.violations, Story(self.moments)
        for at, (lo, hi) in enumerate(itertools.pairwise([*self._before, len(violations)])):
            for v in violations[lo:hi]:
                self.moments[at].wrong.append(v.message)
                story.broken.setdefault(v.requirement, at)
        return story

    def publisher(self, worker: int) -> Publisher:
        """Of a process that draws the same random numbers whenever it starts, as one does that is to be repeatable."""
        before = process_state.now(process_state.RANDOM)
        random.seed(0)
        np.random.seed(0)
        try:
            return transport_of(self.implementation, self.domain).publisher(self.number(worker))
        finally:
            process_state.restored(before)

    def subscriber(self, rank: int) -> Subscriber:
        return transport_of(self.implementation, self.domain).subscriber(rank)

    def told_of(self, number: int) -> None:
        """All ranks hear that a worker is dead. What it left behind is gone for those that start later, too."""
        for subscriber in self.subscribers.values():
            self.must("lost", "POOL-007", lambda s=subscriber: s.lost(number))  # type: ignore[misc]
        for worker in self.workers:
            if self.number(worker) == number and self.subscribers:
                for rank in range(self.case.ranks):
                    self.model.lose_worker(rank, worker)

    def must(self, what: str, requirement: str, call: Callable[[], T]) -> T:
        """A call that has to succeed."""
        try:
            return call()
        except Exception as error:
            said = f"{what} raised {told(error)}"
            self.model.check(requirement, False, said)
            self.model.check("ISO-003", isinstance(error, PlumblineError), said)
            raise Stop from error

    def swept(self, worker: int) -> None:
        self.must("collect", "POOL-003", self.publishers[worker].collect)
        self.model.sweep(worker)
        self.model.leased(worker, self.publishers[worker].leased, "collect")

    def number(self, worker: int) -> int:
        """As the interface has it: successors share it."""
        return worker % self.case.workers


def nth(names: object, number: int) -> int:
    alive = sorted(names)  # type: ignore[call-overload]
    return int(alive[number % len(alive)])
