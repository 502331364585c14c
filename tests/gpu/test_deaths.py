"""Readers that are killed with leases or fall silent, and a worker that is killed under its readers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from plumbline.cuda.held import HeldWorker, PatientRank
from plumbline.interface import Domain
from plumbline.remote import Remote
from plumbline.transport_host import fresh_name, global_names, remove_global
from plumbline.transport_scenario import WireItem, WireRequest

MIB = 1 << 20
BOTH = frozenset({0, 1})
REQUEST = WireRequest((WireItem(1, (40_000,)), WireItem(2, (40_000,))))
"""About 5 MiB."""


@dataclass
class Engine:
    """A worker on the first GPU; rank 0 on the last, rank 1 on the first."""

    domain: Domain
    gpus: list[str]
    worker: Remote[HeldWorker]
    ranks: list[Remote[PatientRank]]

    def send(self) -> bytes:
        """A request for both."""
        return self.worker.call(HeldWorker.send, 0, BOTH).message

    def take(self, rank: int, message: bytes) -> None:
        """Opens it, and waits until the device has read it."""
        self.ranks[rank].call(PatientRank.take, message)
        self.ranks[rank].call(PatientRank.synchronised)

    def reads(self, rank: int, message: bytes) -> str:
        self.take(rank, message)
        return self.ranks[rank].call(PatientRank.verdict, REQUEST)

    def leased(self) -> int:
        return self.worker.call(HeldWorker.leased)

    def start_worker(self) -> None:
        self.worker = Remote(HeldWorker, self.gpus[0])
        self.worker.call(HeldWorker.join, self.domain, 0)
        self.worker.call(HeldWorker.make, [REQUEST])

    def start_rank(self, number: int) -> None:
        self.ranks[number] = Remote(PatientRank, self.gpus[number - 1])
        self.ranks[number].call(PatientRank.join, self.domain, number)

    def deliver(self) -> None:
        message = self.send()
        assert [self.reads(rank, message) for rank in BOTH] == ["right", "right"]
        assert self.leased() == 0


@contextmanager
def running(gpus: list[str], lease_seconds: float = 30.0) -> Iterator[Engine]:
    """One that has delivered a request."""
    domain = Domain(fresh_name(), ranks=2, pool_bytes=MIB, device_bytes=64 * MIB, lease_seconds=lease_seconds)
    ranks = [Remote(PatientRank, gpus[-1]), Remote(PatientRank, gpus[0])]
    engine = Engine(domain, gpus, Remote(HeldWorker, gpus[0]), ranks)
    try:
        engine.worker.call(HeldWorker.join, domain, 0)
        engine.worker.call(HeldWorker.make, [REQUEST])
        for number, rank in enumerate(ranks):
            rank.call(PatientRank.join, domain, number)
        engine.deliver()
        yield engine
    finally:
        for process in [engine.worker, *engine.ranks]:
            process.discard()
        remove_global(domain.name)


# ----------------------------------------------------------------------------------------------- readers that are killed


def before(engine: Engine) -> bytes:
    """It has received a message, and opened nothing."""
    message = engine.send()
    engine.ranks[0].call(PatientRank.get, message)
    return message


def queued(engine: Engine) -> bytes:
    """Its stream waits for the payload, with the copy behind it."""
    engine.worker.call(HeldWorker.hold)
    message = engine.send()
    ready, _ = engine.ranks[0].call(PatientRank.take, message)
    assert not ready
    return message


def during(engine: Engine) -> bytes:
    """It copies the payload all the time."""
    message = engine.send()
    engine.ranks[0].send(PatientRank.again, message, REQUEST, 30.0)
    assert not engine.ranks[0].answered(0.3)
    return message


def after(engine: Engine) -> bytes:
    """It has copied the payload, and not released it."""
    message = engine.send()
    engine.take(0, message)
    return message


@pytest.mark.requirement("POOL-001", "POOL-002", "POOL-003", "POOL-007")
def test_readers_are_killed_with_leases(gpus: list[str]) -> None:
    """The part of each comes back when its death is known. The other reader loses nothing, and a successor reads."""
    moments: list[Callable[[Engine], bytes]] = [before, queued, during, after]
    with running(gpus) as engine:
        for moment in moments:
            message = moment(engine)
            engine.ranks[0].kill()
            if moment is queued:
                engine.worker.call(HeldWorker.let_go)
            assert engine.reads(1, message) == "right", moment
            assert engine.leased(), moment
            engine.worker.call(HeldWorker.lost, 0)
            assert not engine.leased(), moment
            engine.start_rank(0)
            engine.deliver()


@pytest.mark.requirement("POOL-006", "POOL-007", "POOL-015")
def test_a_silent_reader_expires(gpus: list[str]) -> None:
    """Of two that have a payload open, one stands still; the other one beats."""
    with running(gpus, lease_seconds=1.5) as engine:
        message = engine.send()
        for rank in BOTH:
            engine.take(rank, message)
        engine.ranks[0].stop()
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            engine.ranks[1].call(PatientRank.beat)
            assert engine.leased()
            time.sleep(0.1)
        assert engine.ranks[1].call(PatientRank.verdict, REQUEST) == "right"
        assert not engine.leased(), "the silent reader still has its part"
        engine.ranks[0].go_on()
        assert engine.ranks[0].call(PatientRank.verdict, REQUEST) == "LeaseLost"
        engine.deliver()


# --------------------------------------------------------------------------------------------- a worker that is killed


@pytest.mark.requirement("POOL-001", "POOL-007", "POOL-011", "POOL-015", "POOL-018")
@pytest.mark.parametrize("told", [True, False], ids=["another rank was told", "nobody was told"])
def test_a_worker_is_killed_while_ranks_read(gpus: list[str], told: bool) -> None:
    """What they read is right, or refused; their GPUs are as good as before, and so is the worker's successor."""
    with running(gpus) as engine:
        message = engine.send()
        engine.ranks[0].send(PatientRank.again, message, REQUEST, 2.0)
        assert not engine.ranks[0].answered(0.5)
        engine.worker.kill()
        if told:
            engine.ranks[1].call(PatientRank.lost, 0)
        said = engine.ranks[0].answer()
        assert said["right"]
        assert set(said) <= {"right", "PayloadMissing", "LeaseLost"}
        assert bool(set(said) - {"right"}) == told, said
        for rank in engine.ranks:
            rank.call(PatientRank.lost, 0)
        assert not global_names(engine.domain.name)
        engine.start_worker()
        engine.deliver()
