"""Hosts x GPUs on paper, against numbers calculated by hand and against a simulation that shares no formula with it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plumbline.roofline import simulate as simulation
from plumbline.roofline.ceilings import read
from plumbline.roofline.fleet import Fleet, FleetError, Plan, at_the_vit, enough, latest, plan, poisson, queued
from plumbline.roofline.presets import CONFIGURATIONS, Configuration, compare
from plumbline.roofline.services import Services, services
from plumbline.roofline.simulate import flood, simulate

IDLE = Services(0.0, 0.0, 0.0, 0.0, 0.0, ((1, 0.0), (256, 0.0)), 1 << 20)
"""An engine that takes no time for anything."""
SURE = 4.0
"""Standard errors within which paper and simulation have to agree."""


def found(of: Plan) -> tuple[float, int, float]:
    """Mean, slots, and how often they are not enough: of a plan that has them."""
    assert of.leased is not None
    assert of.slots is not None
    assert of.beyond is not None
    return of.leased, of.slots, of.beyond


def test_with_nothing_but_leases_the_pool_is_poisson_distributed() -> None:
    """Mean 1: three or more with probability 0.0803, four or more 0.0190, five or more 0.0037."""
    leased, slots, beyond = found(plan(Fleet(rate=4.0, kept=0.25, full=0.05), IDLE))
    assert (leased, slots) == (pytest.approx(1.0), 4)
    assert beyond == pytest.approx(0.018988, abs=1e-6)
    assert found(plan(Fleet(rate=4.0, kept=0.25, full=0.0189), IDLE))[1] == 5
    assert plan(Fleet(rate=4.0, kept=0.25, full=0.05), IDLE).pool_bytes == 4 << 20


def test_formulas_by_hand() -> None:
    assert queued(50, 0.01) == pytest.approx(0.015)  # half busy: half a service more
    assert latest(6.0, 3) == pytest.approx(6 + 3 + 2)
    assert latest(6.0, 1) == 6.0
    first, chances = poisson(2.0, 3)
    assert (first, chances) == (0, pytest.approx([0.135335, 0.270671, 0.270671, 0.323324], abs=1e-6))
    assert enough(0.0, [1.0], 0.5) == (1, 0.0)


def test_a_fixed_batch_time_by_hand() -> None:
    """A batch takes one second whatever its size: the ViT is busy but for idle times after batches that nothing followed."""
    fixed = replace(IDLE, batches=((1, 1.0), (256, 1.0)))
    chances = at_the_vit(1.0, fixed)
    assert chances is not None
    idle = 0.36788 / (1 + 0.36788)  # exp(-1) of the batches are followed by an idle time of a second on average
    assert chances[0] == pytest.approx(idle, abs=1e-5)
    assert sum(chances) == pytest.approx(1.0)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda configuration: configuration.title)
def test_paper_and_simulation_agree(configuration: Configuration) -> None:
    played = compare(configuration, read(), requests=20_000, seed=5)
    leased, slots, beyond = found(played.paper)
    assert played.seen.error < 0.05 * leased
    assert abs(played.seen.leased - leased) < SURE * played.seen.error
    met, error = played.seen.met(slots)
    assert error < 0.5 * beyond
    assert abs(met - beyond) < SURE * error
    assert 0 < played.finite.full < configuration.fleet.full
    bottleneck = played.paper.bottleneck
    assert bottleneck
    assert played.flooded.busy[bottleneck] == max(played.flooded.busy.values()) > 0.99
    assert played.flooded.throughput == pytest.approx(played.paper.saturation[bottleneck], rel=0.01)


def test_a_formula_that_forgets_the_latest_rank_would_not_agree() -> None:
    four = next(configuration for configuration in CONFIGURATIONS if configuration.title.startswith("4 ranks share 4"))
    played = compare(four, read(), requests=20_000, seed=5)
    forgotten = found(plan(replace(four.fleet, ranks=1), services(four.request, read())))[0]
    assert abs(played.seen.leased - forgotten) > 10 * SURE * played.seen.error


BATCHES = ((1, 0.001), (256, 0.256))
LIMITS: dict[str, Services] = {
    "workers": Services(0.02, 0.005, 0.001, 0.0, 0.001, BATCHES, 1),
    "NVLink": Services(0.001, 0.0, 0.008, 0.001, 0.001, BATCHES, 1),
    "PCIe": Services(0.001, 0.0, 0.001, 0.0, 0.005, BATCHES, 1),
    "ViT": Services(0.001, 0.0, 0.0005, 0.0, 0.0005, ((1, 0.01), (256, 0.52)), 1),
}
"""An engine for each resource that can be too slow, with two workers."""


@pytest.mark.parametrize("resource", LIMITS)
def test_what_saturates_and_when(resource: str) -> None:
    paper = plan(Fleet(rate=1.0, hosts=2, gpus=8, ranks=4, workers=2), LIMITS[resource])
    played = flood(LIMITS[resource], requests=4_000, seed=1, ranks=4, workers=2, late=0.001)
    assert paper.bottleneck == resource == max(played.busy, key=lambda name: played.busy[name])
    assert played.throughput == pytest.approx(paper.saturation[resource], rel=0.01)
    assert paper.fleet_rate == pytest.approx(4 * (paper.saturation[resource] or 0.0))


def test_queues_at_links_count() -> None:
    """Both links busy for 60 and 70 % of the time. The second one's arrivals are those that left the first, evenly spread: its
    queue is shorter than paper says."""
    busy = Services(0.001, 0.001, 0.006, 0.0, 0.0, ((1, 1e-4), (256, 0.0256)), 1)
    fleet = Fleet(rate=100.0, workers=1, late=0.002, full=0.02)
    seen = simulate(busy, rate=fleet.rate, requests=40_000, seed=3, late=fleet.late)
    assert abs(seen.leased - found(plan(fleet, busy))[0]) < SURE * seen.error
    both = replace(busy, pcie=0.007)
    seen = simulate(both, rate=fleet.rate, requests=40_000, seed=3, late=fleet.late)
    assert seen.leased < found(plan(fleet, both))[0] - SURE * seen.error


def test_the_same_seed_plays_the_same_and_another_one_another() -> None:
    runs = [simulate(LIMITS["ViT"], rate=50.0, requests=2_000, seed=seed, late=0.01) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_beyond_saturation_nothing_is_promised() -> None:
    found = plan(Fleet(rate=1e6), LIMITS["ViT"])
    assert (found.held, found.leased, found.slots, found.beyond, found.pool_bytes) == (None,) * 5
    assert found.bottleneck == "ViT"
    nothing = plan(Fleet(rate=1e6), IDLE)
    assert (nothing.bottleneck, nothing.fleet_rate) == (None, None)


def test_the_simulation_knows_nothing_of_the_paper() -> None:
    tree = ast.parse(Path(simulation.__file__).read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in names if name and name.startswith("plumbline")} == {"plumbline.roofline.services"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0.0},
        {"full": 0.0},
        {"full": 1.0},
        {"full": 1e-12},
        {"late": -1.0},
        {"kept": -1.0},
        {"ranks": 9},
        {"hosts": 0},
        {"workers": 0},
    ],
)
def test_numbers_of_no_fleet_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FleetError):
        Fleet(**{"rate": 1.0, **wrong})
