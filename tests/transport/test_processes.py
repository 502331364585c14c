"""The same traffic between real processes, with real kills. PLUMBLINE_REQUESTS=1000 asks for more of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plumbline.interface import Capability
from plumbline.parts import claimed
from plumbline.resolve import Subject
from plumbline.transport_host import fresh_name, global_names, remove_global
from plumbline.transport_processes import Engine, Traffic

pytestmark = pytest.mark.own_watchdog

REFUSALS = {"PayloadMissing", "LeaseLost"}


@pytest.fixture
def traffic(subject: Subject, request: pytest.FixtureRequest, tmp_path: Path) -> Traffic:
    """200 requests in the tests profile, 400 in larger ones."""
    claimed(subject, Capability.TRANSPORT)
    profile = request.config.option.profile
    if profile == "mutant":
        pytest.skip("mutants die in one process")
    total = int(os.environ.get("PLUMBLINE_REQUESTS", 200 if profile in ("quick", "tests") else 400))
    return Traffic(subject.spec, subject.replaced, str(tmp_path), fresh_name(), total // 2)


def numbers(traffic: Traffic) -> set[str]:
    return {f"{w}-{n}" for w in range(traffic.workers) for n in range(traffic.requests)}


@pytest.mark.requirement("POOL-001")
@pytest.mark.requirement("POOL-003")
def test_every_byte_arrives(traffic: Traffic) -> None:
    with Engine(traffic).running() as engine:
        report = engine.report()
    assert not report.late
    assert set(report.exits.values()) == {0}, report.exits
    for outcomes in report.outcomes:
        assert set(outcomes) == numbers(traffic)
        assert set(outcomes.values()) == {"right"}
    assert report.leased == {0: 0, 1: 0}
    assert not global_names(traffic.name)


@pytest.mark.requirement("POOL-007")
@pytest.mark.requirement("POOL-011")
def test_a_rank_is_killed(traffic: Traffic) -> None:
    with Engine(traffic).running() as engine:
        engine.wait_for(1, traffic.requests // 2)
        engine.kill("rank-1")
        report = engine.report()
    assert not report.late
    assert set(report.outcomes[0]) == numbers(traffic)
    assert set(report.outcomes[0].values()) == {"right"}
    assert report.leased == {0: 0, 1: 0}
    assert not global_names(traffic.name)


@pytest.mark.requirement("POOL-015")
@pytest.mark.requirement("POOL-011")
def test_a_rank_stands_still_for_longer_than_its_leases(traffic: Traffic) -> None:
    """It may be refused what it was too late for; it reads nothing wrong, and the other rank loses nothing."""
    traffic = Traffic(traffic.spec, traffic.replaced, traffic.folder, traffic.name, traffic.requests, lease_seconds=3.0)
    with Engine(traffic).running() as engine:
        engine.wait_for(1, traffic.requests // 2)
        engine.pause("rank-1", 3.6)
        report = engine.report()
    assert not report.late
    assert set(report.outcomes[0].values()) == {"right"}
    assert set(report.outcomes[1].values()) <= {"right"} | REFUSALS
    assert set(report.outcomes[0]) == set(report.outcomes[1]) == numbers(traffic)
    assert report.leased == {0: 0, 1: 0}
    assert not global_names(traffic.name)


@pytest.mark.requirement("POOL-007")
@pytest.mark.requirement("POOL-011")
def test_a_worker_is_killed(traffic: Traffic) -> None:
    with Engine(traffic).running() as engine:
        engine.wait_for(0, traffic.requests // 2)
        engine.kill("worker-0")
        report = engine.report()
    assert not report.late
    for outcomes in report.outcomes:
        assert {o for n, o in outcomes.items() if n.startswith("1-")} == {"right"}
        assert {o for n, o in outcomes.items() if n.startswith("0-")} <= {"right"} | REFUSALS
    assert report.leased == {1: 0}
    assert not global_names(traffic.name)


@pytest.mark.requirement("POOL-018")
def test_an_engine_starts_again_after_all_of_it_was_killed(traffic: Traffic, tmp_path: Path) -> None:
    try:
        with Engine(traffic).running() as engine:
            engine.wait_for(0, 10)
            for name in engine.processes:
                engine.kill(name, tell=False)
        again = tmp_path / "again"
        again.mkdir()
        second = Traffic(traffic.spec, traffic.replaced, str(again), traffic.name, 20)
        with Engine(second).running() as engine:
            report = engine.report()
        assert not report.late
        assert all(set(o.values()) == {"right"} and set(o) == numbers(second) for o in report.outcomes)
        assert not global_names(traffic.name)
    finally:
        remove_global(traffic.name)
