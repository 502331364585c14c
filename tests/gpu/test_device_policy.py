"""What reading from another GPU leaves there, what a message asks of the device, and where metadata are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from plumbline.cuda.accounts import CountedRank, OpenWorker, processes_on, questions
from plumbline.cuda.held import HeldWorker
from plumbline.interface import Domain
from plumbline.remote import Remote
from plumbline.transport_host import fresh_name, remove_global
from plumbline.transport_remote import Sent, Worker
from plumbline.transport_scenario import DRESSES, WireItem, WireRequest

MIB = 1 << 20
CONTEXT = 200 * MIB
"""A context takes more than this, and what else happens here less than the noise."""
NOISE = 16 * MIB
READER = frozenset({0})
LARGE = WireRequest(tuple(WireItem(k, (5000,)) for k in range(3)))
DRESSED = WireRequest(tuple(WireItem(k, (5,), dress=k) for k in range(DRESSES)))
WITHOUT = {
    "text": WireRequest(),
    "held": WireRequest((WireItem(1, (40,), held=True),)),
    "empty": WireRequest((WireItem(1, (0,)),)),
}
"""Nothing in them is left to open."""


@pytest.fixture
def domain() -> Iterator[Domain]:
    name = fresh_name()
    yield Domain(name, pool_bytes=16 * MIB, device_bytes=64 * MIB)
    remove_global(name)


@pytest.mark.requirement("MOVE-006", "MSG-006")
def test_a_rank_leaves_nothing_on_the_worker_s_gpu(second: str, domain: Domain) -> None:
    """By what the GPU has free, and by the driver's list of processes where that shows this one's."""
    with Remote(OpenWorker, "cuda:0") as worker:
        worker.call(Worker.join, domain, 0)
        sent = worker.call(Worker.publish, "large", LARGE, READER)
        dressed = worker.call(Worker.publish, "dressed", DRESSED, READER)
        uuid = worker.call(OpenWorker.uuid)
        before = worker.call(Worker.free_memory)
        with Remote(CountedRank, second) as rank:
            rank.call(CountedRank.join, domain, 0)
            verdicts = rank.call(CountedRank.read, [sent, dressed])
            assert not verdicts.violations
            assert verdicts.judged["MSG-006"] == 2
            assert before - worker.call(Worker.free_memory) < NOISE
            there = processes_on(uuid)
            assert worker.pid not in there or rank.pid not in there

            # The measure sees what it is for: the same memory, mapped on the worker's own device.
            rank.call(CountedRank.trespass, worker.call(OpenWorker.share, 2 * MIB))
            taken = before - worker.call(Worker.free_memory)
            assert taken > CONTEXT, f"{taken >> 20} MiB"
            there = processes_on(uuid)
            assert worker.pid not in there or rank.pid in there


@pytest.fixture
def counted(gpus: list[str], domain: Domain) -> Iterator[tuple[Remote[HeldWorker], Remote[CountedRank]]]:
    """A worker on the first GPU and a rank on the last, which has read one request."""
    with Remote(HeldWorker, gpus[0]) as worker, Remote(CountedRank, gpus[-1]) as rank:
        worker.call(HeldWorker.join, domain, 0)
        rank.call(CountedRank.join, domain, 0)
        sent = worker.call(HeldWorker.publish, "first", LARGE, READER)
        assert not rank.call(CountedRank.read, [sent]).violations
        yield worker, rank


def counts(rank: Remote[CountedRank], sent: Sent) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Of receiving, opening and releasing."""
    received, opened = rank.call(CountedRank.receive_counted, sent.message), rank.call(CountedRank.open_counted)
    return received, opened, rank.call(CountedRank.end_counted)


@pytest.mark.requirement("MOVE-007")
@pytest.mark.parametrize("name", WITHOUT)
def test_nothing_to_open_asks_nothing(name: str, counted: tuple[Remote[HeldWorker], Remote[CountedRank]]) -> None:
    """No call of any kind, of torch to CUDA or of CUDA's own."""
    worker, rank = counted
    sent = worker.call(HeldWorker.publish, name, WITHOUT[name], READER)
    assert not sent.taken
    received = rank.call(CountedRank.receive_counted, sent.message)
    assert not received


ONCE = {"_cuda_getDevice": 1, "_cuda_getCurrentRawStream": 1}
"""Which device and which stream are current: what writing or awaiting a word asks, of torch and not of the driver."""


@pytest.mark.requirement("MOVE-007")
def test_what_is_ready_asks_nothing_until_it_is_released(
    counted: tuple[Remote[HeldWorker], Remote[CountedRank]],
) -> None:
    """Receiving and opening ask for nothing, releasing for what one word needs, however many payloads there are."""
    worker, rank = counted
    received, opened, released = counts(rank, worker.call(HeldWorker.publish, "ready", LARGE, READER))
    assert not received
    assert not questions(opened)
    assert questions(released) == ONCE


@pytest.mark.requirement("MOVE-007")
def test_what_is_not_ready_asks_for_the_stream_that_is_to_wait(
    counted: tuple[Remote[HeldWorker], Remote[CountedRank]],
) -> None:
    """At most once for each payload. Receiving asks for nothing."""
    worker, rank = counted
    worker.call(HeldWorker.make, [LARGE])
    worker.call(HeldWorker.hold)
    sent = worker.call(HeldWorker.send, 0, READER)
    received, opened = rank.call(CountedRank.receive_counted, sent.message), rank.call(CountedRank.open_counted)
    worker.call(HeldWorker.let_go)
    assert not received
    assert opened["cuStreamWaitValue64"] >= 1
    assert questions(opened) <= Counter({name: len(LARGE.items) for name in ONCE})
    rank.call(CountedRank.end_counted)
