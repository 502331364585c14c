"""Generated requests from workers to ranks on GPUs: payloads on the device, on the host or both, of any layout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import pytest

from plumbline.interface import Domain
from plumbline.remote import Local, Remote
from plumbline.transport_explore import CaseExploration, explore_cases
from plumbline.transport_host import fresh_name, global_names
from plumbline.transport_remote import Fleet, Rank, Worker
from plumbline.transport_scenario import Delivery, WireItem, WireRequest
from plumbline.transport_strategies import deliveries

MIB = 1 << 20
CASES = 60
SPACES = {"device": (0, MIB), "both": (MIB, MIB), "host": (MIB, 0), "little": (1 << 15, 1 << 13)}
"""Bytes of the pools on the host and on devices."""


@pytest.fixture(scope="module")
def fleet(gpus: list[str]) -> Iterator[Fleet]:
    """Two workers, on the first GPU and on the last; a rank on each GPU, two at least."""
    with Fleet([gpus[0], gpus[-1]], gpus if len(gpus) > 1 else gpus * 2) as fleet:
        yield fleet


def domain_of(fleet_ranks: int, space: str) -> Domain:
    host, there = SPACES[space]
    return Domain(fresh_name(), workers=2, ranks=fleet_ranks, pool_bytes=host, device_bytes=there)


def hold(found: CaseExploration, domain: Domain) -> None:
    assert not found.findings, found.said
    assert found.cases == CASES
    assert {"pooled", "in place", "message"} <= set(found.reach), found.reach
    assert not global_names(domain.name)


@pytest.mark.requirement("POOL-001", "POOL-003", "POOL-009", "POOL-013", "POOL-014", "MSG-005", "MSG-006", "MSG-008")
@pytest.mark.parametrize("space", SPACES)
def test_between_processes(fleet: Fleet, space: str, request: pytest.FixtureRequest) -> None:
    domain = domain_of(len(fleet.ranks), space)
    fleet.join(domain)
    found = explore_cases(deliveries(), fleet.deliver, CASES, request.config.option.plumbline_seed)
    fleet.leave()
    hold(found, domain)
    for worker in fleet.workers:
        kinds = [re.sub(r"\d+", "#", line) for line in worker.call(Worker.said)]
        assert len(kinds) == len(set(kinds)), kinds


@pytest.mark.requirement("POOL-001", "POOL-003", "MSG-005", "MSG-006")
@pytest.mark.parametrize("space", SPACES)
def test_inside_one_process(gpus: list[str], space: str, request: pytest.FixtureRequest) -> None:
    """Workers and ranks of one process, where CUDA opens no handles."""
    domain = domain_of(2, space)
    with Remote(Fleet, [gpus[0], gpus[-1]], [gpus[0], gpus[-1]], Local) as process:
        process.call(Fleet.join, domain)
        deliver = partial(process.call, Fleet.deliver)
        found = explore_cases(deliveries(), deliver, CASES, request.config.option.plumbline_seed)
        process.call(Fleet.leave)
        hold(found, domain)
        assert process.end() == 0


ITEMS = (WireItem(1, (1024,), dress=3), WireItem(2, (1024,), dress=5, on_device=False))
"""64 KiB on the device, and as many on the host."""
KIB = 1024
LEVELS = {
    "each where it lies": (MIB, MIB, 128 * KIB),
    "all on the host": (MIB, 8 * KIB, 128 * KIB),
    "one on the device, one in the message": (0, MIB, 64 * KIB),
    "all in the message": (8 * KIB, 8 * KIB, 0),
}
"""Bytes of the pools on the host and on the device, and of the request that are in them."""


@pytest.mark.requirement("POOL-009", "MSG-005")
@pytest.mark.parametrize("in_place", [False, True], ids=["staged", "in place"])
@pytest.mark.parametrize("level", LEVELS)
def test_each_level_of_fallback(fleet: Fleet, level: str, in_place: bool) -> None:
    """Value, identity and device are the same."""
    host, there, taken = LEVELS[level]
    domain = Domain(fresh_name(), workers=2, ranks=len(fleet.ranks), pool_bytes=2 * host, device_bytes=2 * there)
    fleet.join(domain)
    readers = frozenset(range(len(fleet.ranks)))
    for number, worker in enumerate(fleet.workers):
        sent = worker.call(Worker.publish, f"w{number}", WireRequest(ITEMS, in_place=in_place), readers)
        assert sent.taken == taken
        assert sent.in_place == (in_place and level == "each where it lies")
        for rank in fleet.ranks:
            verdicts = rank.call(Rank.read, [sent])
            assert not verdicts.violations
            assert verdicts.judged["POOL-009"] == verdicts.judged["MSG-005"] == verdicts.judged["POOL-001"] == 1
        assert worker.call(Worker.leased) == 0
    fleet.leave()


LARGE = 64 * MIB
ROUNDS = tuple(
    Delivery((0, 1), tuple(WireRequest((WireItem(seed, (rows,)),), 15, seed % 2 == 0) for rows in (1, 1000, 40000)))
    for seed in range(4)
)


@pytest.mark.requirement("POOL-003")
def test_memory_comes_back(fleet: Fleet) -> None:
    """Of every GPU, as much is free after an engine has ended as after the one before it."""
    free = []
    for _ in range(3):
        name = fresh_name()
        fleet.join(Domain(name, workers=2, ranks=len(fleet.ranks), pool_bytes=2 * LARGE, device_bytes=2 * LARGE))
        for case in ROUNDS:
            verdicts, reach = fleet.deliver(case)
            assert not verdicts.violations
            assert "pooled" in reach
            assert "message" not in reach
        fleet.leave()
        assert not global_names(name)
        free.append([rank.call(Rank.free_memory) for rank in fleet.ranks])
    assert all(after >= before - LARGE // 16 for before, after in zip(free[0], free[-1], strict=True)), free
