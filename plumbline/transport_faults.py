"""Both sides of a transport under the baton: readers and a worker that switch, or stop for ever, at any line."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass

import torch
from torch import Tensor

from plumbline.baton import Baton, Schedule
from plumbline.bench import Verdicts
from plumbline.build import bits_of
from plumbline.interface import Domain, Implementation, LeaseLost, PayloadMissing, PlumblineError, Publisher, Ticket
from plumbline.own_code import told
from plumbline.scenario import compact, decode
from plumbline.story import Moment, Story
from plumbline.transport_fields import parts_of, same_bits
from plumbline.transport_host import fresh_name, global_names, listening, remove_global, transport_of
from plumbline.transport_scenario import LEASE_SECONDS, WireItem, WireRequest, prepared_of

CPU = torch.device("cpu")


@dataclass(frozen=True)
class FaultCase:
    """One worker publishes payloads of ``rows`` rows to all ranks. cancels: numbers of requests that it takes back at once.
    mistaken: numbers of requests after which it declares a rank lost that is not (the first one by turns). silent: stopped
    ranks are never declared lost; the clock goes on instead. The worker is actor 0, rank r actor r + 1."""

    ranks: int = 2
    pool: int = 2048
    rows: tuple[int, ...] = (4, 8, 4)
    cancels: tuple[int, ...] = ()
    mistaken: tuple[int, ...] = ()
    silent: bool = False
    switches: tuple[tuple[int, int], ...] = ()
    stops: tuple[tuple[int, int], ...] = ()

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def size(self) -> int:
        return len(repr(compact(self)))


def loads(text: str) -> FaultCase:
    """A case from its JSON; unknown fields are an error."""
    return typing.cast(FaultCase, decode(FaultCase, json.loads(text)))


@dataclass
class FaultRun:
    """verdicts: of the case. lines: of the implementation, that each actor ran. seen: what was reached. story: in words."""

    verdicts: Verdicts
    lines: list[int]
    seen: set[str]
    story: Story


def run_faults(case: FaultCase, implementation: Implementation) -> FaultRun:
    """Runs a case and judges it. Raises nothing that the implementation did."""
    with listening():
        run = _FaultRun(case, implementation)
        run.go()
    return FaultRun(run.verdicts, [a.lines for a in run.baton.actors], run.seen, run.story)


class _FaultRun:
    def __init__(self, case: FaultCase, implementation: Implementation) -> None:
        self.case, self.implementation = case, implementation
        self.verdicts = Verdicts()
        self.seen: set[str] = set()
        self.now = 0.0
        self.domain = Domain(fresh_name(), 1, case.ranks, case.pool, LEASE_SECONDS, lambda: self.now)
        self.story = Story()
        self.baton = Baton(Schedule(case.switches, case.stops), self._say)
        self.worker = self.baton.add("the worker", self._work)
        self.readers = [self.baton.add(f"rank {r}", lambda r=r: self._serve(r)) for r in range(case.ranks)]  # type: ignore[misc]
        self.bits: list[list[list[Tensor]]] = []
        self.mail: list[list[tuple[int, bytes]]] = [[] for _ in range(case.ranks)]
        self.cancelled: set[int] = set()
        self.declared: set[int] = set()
        self.sent_all = self.leaving = False
        self.told = False
        """Whether somebody was told that the worker is dead."""
        self.leased: int | None = None

    def _say(self, text: str) -> None:
        self.story.moments.append(Moment(text))

    def check(self, requirement: str, holds: bool, message: str) -> None:
        if not self.verdicts.check(requirement, holds, message):
            self.story.moments[-1].wrong.append(message)
            self.story.broken.setdefault(requirement, len(self.story.moments) - 1)

    def go(self) -> None:
        self.baton.run()
        self._say("all have ended, stopped or wait")
        check = self.check
        check("POOL-011", not self.baton.hung, self.baton.hung)
        self.verdicts.hung = bool(self.baton.hung)
        for actor in self.baton.actors:
            if actor.error is not None:
                self._untyped(actor.name, actor.error)
        stopped = [a for a in self.baton.actors if a.state == "stopped"]
        self.seen |= {"worker stopped" if a is self.worker else "rank stopped" for a in stopped}
        if self.leased is not None:
            requirement = "POOL-007" if stopped else "POOL-003"
            check(requirement, self.leased == 0, f"{self.leased} bytes are still under leases after all ranks ended")
        if not self.baton.hung and (self.told or (self.worker.state == "done" and self.worker.error is None)):
            left = global_names(self.domain.name)
            check("POOL-007" if stopped else "POOL-003", not left, f"left in shared memory: {left}")
        self.baton.unwind()
        remove_global(self.domain.name)

    def _untyped(self, where: str, error: BaseException) -> None:
        said = f"{where}: {told(error)}"
        self.check("ISO-003", isinstance(error, PlumblineError), said)
        self.check("ISO-001", False, said)

    # -- scripts

    def _work(self) -> None:
        publisher = transport_of(self.implementation, self.domain).publisher(0)
        for number, rows in enumerate(self.case.rows):
            request = WireRequest((WireItem(number, (rows,)), WireItem(number + 50, (1, 2))))
            prepared = prepared_of(f"q{number}", request)
            self.bits.append(
                [[bits_of(p) for p in parts_of(i.payload) if isinstance(p, Tensor)] for i in prepared.items]
            )
            self._say(f"the worker publishes request {number}")
            ticket: Ticket = publisher.publish(prepared, frozenset(range(self.case.ranks)))
            self.seen |= {"pooled"} if publisher.leased else set()
            for mail in self.mail:
                mail.append((number, ticket.message))
            if number in self.case.cancels:
                self.cancelled.add(number)
                self._say(f"the worker cancels request {number}")
                ticket.cancel()
            if number in self.case.mistaken:
                self.declared.add(number % self.case.ranks)
                self._say(f"the worker is told that rank {number % self.case.ranks}, which is alive, is lost")
                publisher.lost(number % self.case.ranks)
        self.sent_all = True
        self.baton.wait(lambda: all(r.state in ("done", "stopped") for r in self.readers))
        self._reclaim(publisher)
        self.leased = publisher.leased
        self.leaving = True
        publisher.close()

    def _reclaim(self, publisher: Publisher) -> None:
        self._say(f"the worker {'looks long after' if self.case.silent else 'is told who stopped'}, and collects")
        if self.case.silent:
            self.now += 5 * LEASE_SECONDS
        else:
            for rank, reader in enumerate(self.readers):
                if reader.state == "stopped":
                    publisher.lost(rank)
        publisher.collect()

    def _serve(self, rank: int) -> None:
        subscriber = transport_of(self.implementation, self.domain).subscriber(rank)
        kept = None
        while self.baton.wait(lambda: bool(self.mail[rank]) or self.sent_all or self.worker.state == "stopped"):
            if not self.mail[rank]:
                break
            number, message = self.mail[rank].pop(0)
            self._say(f"rank {rank} receives and opens request {number}")
            subscriber.beat()
            items = subscriber.receive(message).items
            parts = [parts_of(i.payload) for i in items]
            features = [p for item in parts for p in item if not isinstance(p, Tensor)]
            try:
                live = [[p if isinstance(p, Tensor) else p.open(CPU) for p in item] for item in parts]
            except Exception as error:
                self._refused(rank, number, error)
            else:
                if self._read(rank, number, live, features):
                    kept = kept or (number, live, features)
            if kept is None or kept[2] is not features:
                self._say(f"rank {rank} releases request {number}")
                for f in features:
                    f.release()
        if self.worker.state == "stopped":
            self._say(f"rank {rank} is told that the worker is dead")
            subscriber.lost(0)
            self.told = True
        if kept is not None:
            self._say(f"rank {rank} reads request {kept[0]} again, checks and releases it")
            self._read(rank, *kept)
            for f in kept[2]:
                f.release()
        subscriber.close()

    def _read(self, rank: int, number: int, live: list[list[Tensor]], features: list[typing.Any]) -> bool:
        """Looks at what was opened, now and again later. False: check() refused it."""
        seen = [[bits_of(t).clone() for t in item] for item in live]
        try:
            for f in features:
                f.check()
        except Exception as error:
            self._refused(rank, number, error)
            return False
        right = same_bits(seen, self.bits[number])
        self.check("POOL-001", right, f"rank {rank} read other bytes of request {number}, and check() is silent")
        return True

    def _refused(self, rank: int, number: int, error: Exception) -> None:
        said = f"rank {rank} was refused request {number}: {type(error).__name__}: {error}"
        self.story.moments[-1].lines.append(said)
        self.seen.add("refused")
        self.check("ISO-003", isinstance(error, PlumblineError), said)
        self.check("POOL-015", isinstance(error, (LeaseLost, PayloadMissing)), said)
        caused = number in self.cancelled or rank in self.declared or self.worker.state == "stopped"
        caused = caused or self.now > 0 or self.leaving
        self.check("POOL-006", caused, f"{said}, though nothing ended the lease")
