"""What the GPU suite does with processes, on the CPU: deliveries between processes, calls to them, stops and kills."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from plumbline.interface import Domain
from plumbline.remote import Gone, Remote, RemoteError
from plumbline.transport_explore import explore_cases
from plumbline.transport_host import fresh_name, global_names, remove_global
from plumbline.transport_remote import Fleet, Rank
from plumbline.transport_strategies import deliveries


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet(["cpu", "cpu"], ["cpu", "cpu"]) as fleet:
        yield fleet


@pytest.mark.requirement("POOL-001", "POOL-003", "MSG-005", "MSG-006")
def test_generated_deliveries_between_processes(fleet: Fleet, request: pytest.FixtureRequest) -> None:
    domain = Domain(fresh_name(), workers=2, ranks=2, pool_bytes=1 << 16)
    fleet.join(domain)
    found = explore_cases(deliveries(), fleet.deliver, 100, request.config.option.plumbline_seed)
    fleet.leave()
    assert not found.findings, found.said
    assert {"pooled", "in place", "message"} <= set(found.reach)
    assert not global_names(domain.name)
    remove_global(domain.name)


def test_calls_end_within_their_bounds_whatever_the_process_does() -> None:
    with Remote(Rank, "cpu") as rank:
        assert rank.call(Rank.said) == []
        with pytest.raises(RemoteError, match="AttributeError"):
            rank.call(Rank.beat)
        rank.stop()
        rank.send(Rank.said)
        with pytest.raises(TimeoutError):
            rank.answer(patience=0.1)
        rank.go_on()
        assert rank.answer() == []
        rank.send(time.sleep)  # type: ignore[arg-type]
        with pytest.raises(RemoteError, match="TypeError"):
            rank.answer()
        rank.kill()
        with pytest.raises((Gone, OSError)):
            rank.call(Rank.said)
    with Remote(Rank, "nowhere") as broken, pytest.raises(RemoteError, match="nowhere"):
        broken.call(Rank.said)
