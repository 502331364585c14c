"""Runs a transport case: both sides in one process, each with a transport of its own, under one virtual clock."""

from __future__ import annotations

import re
from collections import Counter

import torch

from plumbline.bench import Verdicts
from plumbline.interface import (
    Implementation,
)
from plumbline.story import Story
from plumbline.transport_host import global_names, listening, probe, remove_global
from plumbline.transport_judge import Model, Part
from plumbline.transport_rank_side import RankSide
from plumbline.transport_scenario import (
    ADVANCES,
    LEASE_SECONDS,
    Act,
    TransportCase,
    prepared_of,
)
from plumbline.transport_stage import Stop
from plumbline.transport_worker_side import WorkerSide

CPU = torch.device("cpu")


def run(case: TransportCase, implementation: Implementation) -> tuple[Verdicts, set[str]]:
    """The verdicts on one case, and the situations that it reached. Raises nothing that the implementation did."""
    verdicts = Verdicts()
    run = _Run(case, implementation, Model(verdicts))
    run.go()
    return verdicts, run.reach


def tell(case: TransportCase, implementation: Implementation) -> Story:
    """Runs the case once more: what was done, call by call."""
    run = _Run(case, implementation, Model(Verdicts()))
    run.go()
    return run.story()


class _Run(WorkerSide, RankSide):
    def go(self) -> None:
        with listening() as said:
            try:
                self.say(
                    f"{self.case.workers} workers and {self.case.ranks} ranks start, a pool of {self.case.pool} bytes"
                )
                self.must("building the transport", "ISO-001", self._build)
                for act in self.case.acts:
                    getattr(self, f"_{act.kind}")(act)
                    leased = sum(p.leased for p in self.publishers.values())
                    fits = leased <= self.case.pool
                    self.model.check("POOL-008", fits, f"{leased} bytes under leases, budget {self.case.pool}")
                self._drain()
                self._close_all()
            except Stop:
                pass
        remove_global(self.domain.name)
        if "pooled" in self.reach:
            fell_back = "fallback" in self.reach
            often = max(Counter(re.sub(r"\d+", "#", line) for line in said).values(), default=0)
            self.model.check("POOL-013", often <= len(self.workers), f"{often} warnings: {said[:3]}")
            self.model.check("POOL-013", bool(said) or not fell_back, "the pool was full, and nobody said so")

    def _build(self) -> None:
        self.publishers = {worker: self.publisher(worker) for worker in sorted(self.workers)}
        self.subscribers = {rank: self.subscriber(rank) for rank in range(self.case.ranks)}

    # -- the clock and the end

    def _advance(self, act: Act) -> None:
        seconds = ADVANCES[act.who % len(ADVANCES)]
        self.say(f"{seconds} seconds pass; a lease lasts {LEASE_SECONDS} after the last sign of life")
        self.model.now += seconds

    def _drain(self) -> None:
        """All requests end: living ranks release, what did not reach them is cancelled, dead ranks are declared so."""
        self.say("all requests end")
        for rank in self.subscribers:
            for copy in self.copies[rank]:
                self.released(copy)
        for (worker, _), (slot, reserved) in self.slots.items():
            if worker in self.publishers or worker in self.closed_workers:
                self.must("cancel", "POOL-017", slot.cancel)
                self.model.reserved[worker] -= reserved
        for rank in sorted(self.killed_ranks):
            for worker, publisher in self.publishers.items():
                self.must("lost", "POOL-007", lambda p=publisher, r=rank: p.lost(r))  # type: ignore[misc]
                self.model.lose_reader(worker, rank)
        for lease, ticket in self.tickets:
            waiting = any(p in (Part.HELD, Part.DOUBTFUL) for p in lease.parts.values())
            if lease.worker in self.publishers and waiting and not lease.over:
                self.must("cancel", "POOL-017", ticket.cancel)
                self.model.end(lease)
        for worker, publisher in self.publishers.items():
            self.swept(worker)
            leased = publisher.leased
            self.model.check("POOL-003", leased == 0, f"worker {worker} keeps {leased} bytes after all requests ended")
            if self.rows:
                publisher.publish(prepared_of("again", probe(self.rows)), frozenset({0}))
                said = f"{self.rows} rows fitted an empty place, and no longer do"
                self.model.check("POOL-016", publisher.leased > 0, said)

    def _close_all(self) -> None:
        for worker in list(self.publishers):
            self.closed(worker)
        self.say("ranks close")
        dead = self.killed_workers | self.unburied
        for subscriber in self.subscribers.values():
            for worker in dead:
                number = self.number(worker)
                self.must("lost", "POOL-007", lambda s=subscriber, n=number: s.lost(n))  # type: ignore[misc]
        for subscriber in self.subscribers.values():
            self.must("close", "POOL-003", subscriber.close)
            self.must("the second close", "POOL-017", subscriber.close)
        left = global_names(self.domain.name)
        if self.subscribers or not dead:  # nobody else can take away what the dead left
            self.model.check("POOL-007" if dead else "POOL-003", not left, f"left in shared memory: {left}")
