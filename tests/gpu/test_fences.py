"""Streams that wait for payloads: the host never does, and they go on when the worker dies or is declared dead."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from plumbline.cuda.held import HeldWorker, PatientRank
from plumbline.interface import Domain
from plumbline.remote import Remote
from plumbline.transport_host import fresh_name, global_names, remove_global
from plumbline.transport_scenario import WireItem, WireRequest

MIB = 1 << 20
READER = frozenset({0})
REQUESTS = tuple(
    WireRequest((WireItem(k, (2000, 50), strides="columns"), WireItem(k, (3,), "uint8", on_device=False)))
    for k in range(12)
)
"""About 130 KiB each."""


@dataclass
class Pair:
    domain: Domain
    worker: Remote[HeldWorker]
    rank: Remote[PatientRank]

    def deliver(self, number: int) -> None:
        """The whole way, with nothing in its way: what a first time costs is paid here."""
        sent = self.worker.call(HeldWorker.send, number, READER)
        self.rank.call(PatientRank.take, sent.message)
        self.rank.call(PatientRank.synchronised)
        assert self.rank.call(PatientRank.verdict, sent.request) == "right"

    def held(self, number: int) -> bytes:
        """Published behind a stream that is held up."""
        self.worker.call(HeldWorker.hold)
        return self.worker.call(HeldWorker.send, number, READER).message


@pytest.fixture(params=["same GPU", "another GPU"])
def pair(request: pytest.FixtureRequest, gpus: list[str]) -> Iterator[Pair]:
    """A worker on the first GPU, a rank on it or on the last. One request was delivered."""
    if request.param == "another GPU" and len(gpus) < 2:
        pytest.skip("needs a second GPU")
    there = gpus[-1] if request.param == "another GPU" else gpus[0]
    domain = Domain(fresh_name(), pool_bytes=16 * MIB, device_bytes=16 * MIB)
    with Remote(HeldWorker, gpus[0]) as worker, Remote(PatientRank, there) as rank:
        worker.call(HeldWorker.join, domain, 0)
        rank.call(PatientRank.join, domain, 0)
        worker.call(HeldWorker.make, REQUESTS)
        found = Pair(domain, worker, rank)
        for number in range(3):
            found.deliver(number)
        yield found
    remove_global(domain.name)


@pytest.mark.requirement("POOL-001", "MOVE-009")
def test_the_host_never_waits(pair: Pair) -> None:
    """The worker's stream stands still all the while; torch raises if a call waits, and the calls are timed."""
    published, taken = [], []
    for number in range(5):
        pair.worker.call(HeldWorker.hold)
        sent = pair.worker.call(HeldWorker.send, number, READER)
        ready, seconds = pair.rank.call(PatientRank.take, sent.message)
        assert not ready
        pair.rank.send(PatientRank.synchronised)
        assert not pair.rank.answered(0.2), "the rank's stream did not wait for the payload"
        pair.worker.call(HeldWorker.let_go)
        pair.rank.answer(patience=5)
        assert pair.rank.call(PatientRank.verdict, sent.request) == "right"
        published.append(sent.seconds)
        taken.append(seconds)
    assert statistics.median(published) < 0.005, published
    assert statistics.median(taken) < 0.005, taken


@pytest.mark.requirement("POOL-007", "POOL-011", "POOL-015", "POOL-019")
def test_a_stream_goes_on_when_the_worker_is_killed(pair: Pair) -> None:
    """While the rank's host waits for its stream, and so cannot be told anything."""
    ready, _ = pair.rank.call(PatientRank.take, pair.held(5))
    assert not ready
    pair.rank.send(PatientRank.synchronised)
    assert not pair.rank.answered(0.3), "the rank's stream did not wait for the payload"
    killed = pair.worker.kill()
    assert pair.rank.answer(patience=10) - killed < 1.0
    assert pair.rank.call(PatientRank.verdict, REQUESTS[5]) == "LeaseLost"
    pair.rank.call(PatientRank.lost, 0)
    assert not global_names(pair.domain.name)
    another_worker_is_read(pair)


@pytest.mark.requirement("POOL-007", "POOL-011", "POOL-015", "POOL-019")
def test_a_stream_goes_on_when_a_worker_that_stands_still_is_declared_lost(pair: Pair) -> None:
    ready, _ = pair.rank.call(PatientRank.take, pair.held(5))
    assert not ready
    pair.worker.stop()
    pair.rank.call(PatientRank.lost, 0)
    pair.rank.send(PatientRank.synchronised)
    pair.rank.answer(patience=1)
    assert pair.rank.call(PatientRank.verdict, REQUESTS[5]) == "LeaseLost"
    pair.worker.kill()
    another_worker_is_read(pair)


def another_worker_is_read(pair: Pair) -> None:
    """The rank's device is as good as before."""
    with Remote(HeldWorker, "cuda:0") as worker:
        worker.call(HeldWorker.join, pair.domain, 0)
        worker.call(HeldWorker.make, REQUESTS)
        Pair(pair.domain, worker, pair.rank).deliver(6)
        worker.call(HeldWorker.leave)
