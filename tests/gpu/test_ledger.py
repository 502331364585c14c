"""Copies of payload bytes on their way, as the driver records them: none but those that there have to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from plumbline.cuda.ledger import RecordedRank, RecordedWorker
from plumbline.interface import Domain
from plumbline.remote import Remote
from plumbline.transport_host import fresh_name, remove_global
from plumbline.transport_scenario import WIDTH, WireItem, WireRequest

MIB = 1 << 20
READER = frozenset({0})
SIZES = (MIB // 2, MIB, 3 * MIB)
"""Bytes of the payloads of a request."""


@dataclass
class Pair:
    worker: Remote[RecordedWorker]
    rank: Remote[RecordedRank]
    same: bool

    def deliver(self, on_device: bool, in_place: bool) -> None:
        """Right to the last byte."""
        items = tuple(WireItem(k, (size // 4 // WIDTH,), on_device=on_device) for k, size in enumerate(SIZES))
        sent = self.worker.call(RecordedWorker.publish, "q", WireRequest(items, in_place=in_place), READER)
        assert sent.taken == sum(SIZES)
        assert sent.in_place == in_place
        assert not self.rank.call(RecordedRank.read, [sent]).violations


@pytest.fixture(scope="module", params=["same GPU", "another GPU"])
def pair(request: pytest.FixtureRequest, gpus: list[str]) -> Iterator[Pair]:
    """One request was delivered already."""
    same = request.param == "same GPU"
    if not same and len(gpus) < 2:
        pytest.skip("needs a second GPU")
    domain = Domain(fresh_name(), pool_bytes=16 * MIB, device_bytes=16 * MIB)
    with Remote(RecordedWorker, gpus[0]) as worker, Remote(RecordedRank, gpus[0 if same else -1]) as rank:
        worker.call(RecordedWorker.join, domain, 0)
        rank.call(RecordedRank.join, domain, 0)
        found = Pair(worker, rank, same)
        found.deliver(on_device=True, in_place=False)
        yield found
    remove_global(domain.name)


def test_the_ledger_sees_copies_kernels_and_waits(pair: Pair) -> None:
    ledger = pair.rank.call(RecordedRank.one_of_each, MIB)
    assert ledger.copies == [("HtoD", MIB), ("DtoD", MIB), ("DtoH", MIB)]
    assert len(ledger.kernels) == 1
    assert {"cudaStreamSynchronize", "Memcpy DtoH (Device -> Pageable)"} <= set(ledger.waits)


@pytest.mark.requirement("MOVE-010", "POOL-014")
@pytest.mark.parametrize("in_place", [False, True], ids=["staged", "in place"])
def test_payloads_on_a_device(pair: Pair, in_place: bool) -> None:
    """One copy into the pool, unless they were written there; one over the link, unless there is none to cross."""
    pair.deliver(on_device=True, in_place=in_place)
    worker, rank = pair.worker.call(RecordedWorker.recorded), pair.rank.call(RecordedRank.recorded)
    assert worker.sizes("DtoD") == ([] if in_place else list(SIZES))
    assert rank.sizes("DtoD", "PtoP") == ([] if pair.same else list(SIZES))
    assert not worker.sizes("HtoD", "DtoH", "PtoP") + rank.sizes("HtoD", "DtoH")
    assert not worker.kernels + rank.kernels


@pytest.mark.requirement("MOVE-003")
@pytest.mark.parametrize("in_place", [False, True], ids=["staged", "in place"])
def test_payloads_on_the_host(pair: Pair, in_place: bool) -> None:
    """One copy up, in the rank."""
    pair.deliver(on_device=False, in_place=in_place)
    worker, rank = pair.worker.call(RecordedWorker.recorded), pair.rank.call(RecordedRank.recorded)
    assert not worker.copies
    assert rank.copies == [("HtoD", size) for size in SIZES]
    assert not worker.kernels + rank.kernels
