"""Generated deliveries between simulated devices: bytes and leases, and what each call did to the devices.

Workers are on sim:0, ranks there and on sim:1. Each case is one of a few engines, with pools of different sizes, under
schedules of which some do nothing before somebody waits for it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from plumbline.bench import Verdicts
from plumbline.build import bits_of
from plumbline.drawing import Tally
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.interface import Domain, Feature, Identity, PayloadMissing, Prepared
from plumbline.remote import Local
from plumbline.resolve import Subject
from plumbline.sim.death import judge_death
from plumbline.sim.device import Machine
from plumbline.sim.ledger import Ledger
from plumbline.sim.schedule import AT_ONCE, LATEST
from plumbline.sim.workloads import Finding
from plumbline.trace import Hang
from plumbline.transport_explore import explore_cases
from plumbline.transport_fields import parts_of, same_bits
from plumbline.transport_host import fresh_name, global_names, listening, remove_global
from plumbline.transport_remote import CPU, Fleet, Rank, Sent, Worker, features, held_of
from plumbline.transport_scenario import Delivery, WireItem, WireRequest, identity_of
from plumbline.transport_scenario import parts_of as wire_parts
from plumbline.transport_strategies import deliveries

WORKERS, RANKS = ("sim:0", "sim:0"), ("sim:0", "sim:1")
SPACES = ((0, 1 << 18), (1 << 18, 1 << 14), (1 << 18, 0), (1 << 15, 1 << 13))
"""Bytes of the pools on the host and on devices: for everything on devices, on both, on the host only, for little."""
LAZY = {"conjugate": "contiguous", "negative": "contiguous"}
"""Views that a simulated device does not have."""


@dataclass
class Report(Tally):
    """Of one child process, as plain data. findings: the first of each requirement."""

    findings: dict[str, Finding] = field(default_factory=dict)


class Watch:
    """Looks at single calls, from the machine's ledger."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.verdicts = machine, Verdicts()

    @contextmanager
    def alone(self) -> Iterator[Ledger]:
        """The ledger of what is called inside."""
        whole, self.machine.ledger = self.machine.ledger, Ledger()
        try:
            yield self.machine.ledger
        finally:
            self.machine.ledger = whole

    def never_waits(self, ledger: Ledger, call: str) -> None:
        self.verdicts.check("MOVE-009", not ledger.syncs, f"{call} waited for a device: {ledger.syncs[:3]}")


class WatchedWorker(Worker):
    def __init__(self, device: str, subject: Subject, watch: Watch) -> None:
        super().__init__(device, subject.spec, subject.replaced)
        self.watch = watch

    def put(self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity]) -> bytes:
        with self.watch.alone() as self.seen:
            return super().put(prepared, readers, held)

    def publish(self, name: str, request: WireRequest, readers: frozenset[int]) -> Sent:
        sent = super().publish(name, request, readers)
        if sent.taken:  # a message needs the bytes themselves
            self.watch.never_waits(self.seen, "publish")
        return sent


class WatchedRank(Rank):
    def __init__(self, device: str, subject: Subject, watch: Watch) -> None:
        super().__init__(device, subject.spec, subject.replaced)
        self.watch = watch
        self._received: dict[int, Ledger] = {}
        """By id() of what was received and not yet opened."""

    def join(self, domain: Domain, number: int) -> None:
        with self.watch.alone() as ledger:
            super().join(domain, number)
        self._stays_here(ledger, "joining")

    def unpack(self, message: bytes) -> Prepared:
        with self.watch.alone() as ledger:
            got = super().unpack(message)
        self._look(ledger, "receive")
        self._received[id(got)] = ledger
        return got

    def receive(self, sent: Sent, verdicts: Verdicts) -> Prepared:
        """Every other request is wanted on the host too, at once, which may well be too early."""
        got = super().receive(sent, verdicts)
        if int(sent.name[1:]) % 2:
            travelled = [item for item in sent.request.items if identity_of(item) not in held_of(sent.request)]
            wanted = [bits_of(part) for item in travelled for part in wire_parts(item)]
            parts = [part for item in got.items for part in parts_of(item.payload)]
            for part, bits in zip(parts, wanted, strict=True):
                if not isinstance(part, Tensor):
                    self._on_the_host(part, bits, sent.name)
        return got

    def _on_the_host(self, part: Feature, wanted: Tensor, name: str) -> None:
        """Refused until it is ready, and then right."""
        ready = part.ready()
        try:
            seen = bits_of(part.open(CPU)).clone()
        except PayloadMissing:
            self.watch.verdicts.check("POOL-006", not ready, f"a payload of {name} is ready, and refused on the host")
        else:
            right = same_bits([[seen]], [[wanted]])
            self.watch.verdicts.check("POOL-001", right, f"on the host, {name} reads other bytes")

    def open(self, prepared: Prepared) -> list[Tensor]:
        with self.watch.alone() as ledger:
            live = super().open(prepared)
        self._look(ledger, "open")
        received = self._received.pop(id(prepared))
        queries = received.queries + ledger.queries
        parts = {id(feature): feature.meta for feature in features(prepared)}.values()
        self.watch.verdicts.check(
            "MOVE-007",
            queries <= bool(parts),
            f"{queries} questions to the device for a request with {len(parts)} proxies",
        )
        there = [meta.nbytes for meta in parts if meta.device.type != "cpu"]
        if there:
            due = sorted(there) if self.device.index else []
            made = sorted(c.nbytes for c in received.copies + ledger.copies if c.direction in ("p2p", "d2d"))
            where = f"payloads in a pool of sim:0 on {self.device}"
            self.watch.verdicts.check("MOVE-010", made == due, f"copies of {made} bytes, where {due} are due: {where}")
        return live

    def release(self, prepared: Prepared) -> None:
        with self.watch.alone() as ledger:
            super().release(prepared)
        self._look(ledger, "release")

    def _look(self, ledger: Ledger, call: str) -> None:
        self.watch.never_waits(ledger, call)
        self._stays_here(ledger, call)

    def _stays_here(self, ledger: Ledger, call: str) -> None:
        away = ledger.contexts - {self.device.index}
        self.watch.verdicts.check("MOVE-006", not away, f"{call} on {self.device} used the devices {sorted(away)} too")


class WatchedFleet(Fleet):
    worker_type = WatchedWorker
    rank_type = WatchedRank


def plain(case: Delivery) -> Delivery:
    def items(request: WireRequest) -> tuple[WireItem, ...]:
        return tuple(dataclasses.replace(item, strides=LAZY.get(item.strides, item.strides)) for item in request.items)

    requests = tuple(dataclasses.replace(request, items=items(request)) for request in case.requests)
    return dataclasses.replace(case, requests=requests)


class Engine:
    """Two workers and two ranks in this process, on a machine that is on."""

    def __init__(self, machine: Machine, space: tuple[int, int], subject: Subject) -> None:
        self.machine, self.watch = machine, Watch(machine)
        self.domain = Domain(fresh_name(), len(WORKERS), len(RANKS), pool_bytes=space[0], device_bytes=space[1])

        def local(kind: type[Any], device: str) -> Local[Any]:
            return Local(kind, device, subject, self.watch)

        self.fleet = WatchedFleet(WORKERS, RANKS, local)

    def start(self) -> Verdicts:
        self.fleet.join(self.domain)
        return self._taken()

    def deliver(self, case: Delivery) -> tuple[Verdicts, set[str]]:
        verdicts, reach = self.fleet.deliver(case)
        seen = self._taken()
        verdicts.judged += seen.judged
        verdicts.violations += seen.violations
        return verdicts, reach

    def end(self) -> Verdicts:
        self.fleet.leave()
        self.machine.finish()
        left = global_names(self.domain.name)
        self.watch.verdicts.check("POOL-003", not left, f"left in shared memory: {left}")
        return self._taken()

    def _taken(self) -> Verdicts:
        shared, budget = sum(memory.nbytes for memory in self.machine.shared.values()), self.domain.device_bytes
        self.watch.verdicts.check("POOL-008", shared <= budget, f"{shared} bytes on devices, budget {budget}")
        found, self.watch.verdicts = self.watch.verdicts, Verdicts()
        return found


def explore(subject: Subject, cases: int, session_seed: int) -> Report:
    """Each engine gets ``cases`` drawn deliveries; the ends of two workers follow. Only for what claims TRANSPORT and DEVICE."""
    report = Report()
    runs = [(space, schedule) for space in SPACES for schedule in (LATEST, session_seed + 1)]
    for space, schedule in [*runs, (SPACES[0], AT_ONCE)]:
        with Machine(schedule) as machine, listening():
            engine = Engine(machine, space, subject)
            try:
                _explore(engine, cases, schedule, session_seed, report)
            finally:
                remove_global(engine.domain.name)
    for told in (False, True):
        with watchdog(HANG_SECONDS):
            _note(report, judge_death(subject, told), LATEST)
    return report


def _explore(engine: Engine, cases: int, schedule: int, session_seed: int, report: Report) -> None:
    started = _guarded(engine.start)
    _note(report, started, schedule)
    if started.violations:
        return

    def judge(case: Delivery) -> tuple[Verdicts, set[str]]:
        reach: set[str] = set()

        def call() -> Verdicts:
            verdicts, seen = engine.deliver(case)
            reach.update(seen)
            return verdicts

        return _guarded(call), reach

    strategy = deliveries().map(plain)
    found = explore_cases(strategy, judge, cases, session_seed + schedule, shrink=False, stop_at_first=True)
    report.cases += found.cases
    report.seconds += found.seconds
    report.judged += found.judged
    report.reach += found.reach
    for finding in found.findings.values():
        new = Finding(finding.requirement, finding.message, schedule, json.loads(finding.case.dumps()))
        report.findings.setdefault(finding.requirement, new)
    if not found.findings:
        _note(report, _guarded(engine.end), schedule)


def _guarded(call: Callable[[], Verdicts]) -> Verdicts:
    """What the call found. Whatever else an implementation raises breaks ISO-001, a hang POOL-011."""
    verdicts = Verdicts()
    try:
        with watchdog(HANG_SECONDS):
            return call()
    except Hang as hang:
        verdicts.check("POOL-011", False, f"a call did not return: {hang}")
    except Exception as error:
        verdicts.check("ISO-001", False, f"raised {type(error).__name__}: {error}")
    return verdicts


def _note(report: Report, verdicts: Verdicts, schedule: int) -> None:
    report.judged += verdicts.judged
    for violation in verdicts.violations:
        new = Finding(violation.requirement, violation.message, schedule, None)
        report.findings.setdefault(violation.requirement, new)
