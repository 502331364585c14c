"""The simulated accelerator, always in a process of its own: its device is torch's, for as long as the process lasts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plumbline.child_tests import child, run_inside
from plumbline.interface import Capability
from plumbline.parts import claimed
from plumbline.resolve import Subject

pytestmark = pytest.mark.own_watchdog

CASES = {"quick": 30, "tests": 60, "default": 100, "thorough": 2000, "mutant": 10}
"""Drawn workloads on the device, by profile; each runs under two schedules."""
DELIVERED = {"quick": 10, "tests": 30, "default": 40, "thorough": 500, "mutant": 24}
"""Drawn deliveries to each of a few engines, by profile."""
TOLD = {"quick": 1, "tests": 1, "default": 1, "thorough": 40, "mutant": 1}
"""Stories of each kind about a tower, by profile; each under two schedules."""
ALWAYS = {"POOL-001", "POOL-003", "POOL-008", "POOL-009", "MOVE-006", "MOVE-007", "MOVE-009"}
"""Judged in deliveries, whatever the implementation puts where."""


def explored(
    what: str,
    subject: Subject,
    cases: int,
    seed: int,
    say_broken: Callable[[str], None],
    record_property: Callable[[str, object], None] | None = None,
) -> dict[str, Any]:
    """What a process of its own found. Fails if a requirement was broken, and, about none, if the process died.

    record_property: of findings that can be saved as cases."""
    done = child("plumbline.sim", what, *shlex.split(subject.arguments), "--cases", str(cases), "--seed", str(seed))
    said = f"the process died:\n{done.stderr[-4000:]}"
    assert done.returncode in (0, 1), said
    assert done.stdout, said
    report: dict[str, Any] = json.loads(done.stdout)
    for finding in report["findings"]:
        say_broken(finding["requirement"])
    if report["findings"] and record_property is not None:
        record_property("exploration", exploration_of(report))
    wrong = [f"{f['requirement']}: {f['message']} (schedule {f['seed']})" for f in report["findings"]]
    assert not wrong, "\n".join(wrong)
    return report


def exploration_of(report: dict[str, Any]) -> dict[str, object]:
    """As other explorations give it."""
    findings = [
        {
            "requirement": f["requirement"],
            "message": f["message"],
            "without": [],
            "scenario": {"scenario": f["scenario"], "schedule": f["seed"]},
            "story": f["story"],
        }
        for f in report["findings"]
    ]
    counts = {"cases": report["cases"], "seconds": report["seconds"], "first_failure": None}
    return {"of": "sim", **counts, "judged": report["judged"], "reach": {}, "findings": findings}


@pytest.mark.parametrize("name", sorted(p.name for p in Path(__file__).parent.glob("inside_*.py")))
def test_in_its_own_process(name: str) -> None:
    run_inside(Path(__file__).with_name(name))


@pytest.mark.requirement(
    "ENC-001", "IDENT-014", "MOVE-001", "MOVE-002", "MOVE-003", "MOVE-004", "MOVE-005", "MOVE-008", "MOVE-011"
)
@pytest.mark.requirement("MOVE-012")
def test_workloads_on_a_simulated_device(
    subject: Subject,
    request: pytest.FixtureRequest,
    say_broken: Callable[[str], None],
    record_property: Callable[[str, object], None],
) -> None:
    if not subject.implementation.capabilities & {Capability.PORT, Capability.DEVICE}:
        pytest.skip("not claimed: port, device")
    options = request.config.option
    report = explored("workloads", subject, CASES[options.profile], options.plumbline_seed, say_broken, record_property)
    assert report["cases"] >= CASES[options.profile]
    assert report["judged"]["rows"]
    if Capability.DEVICE in subject.implementation.capabilities:
        assert report["judged"]["IDENT-014"]
        assert report["judged"]["MOVE-011"]


@pytest.mark.requirement("PREP-019", "PREP-020")
def test_what_a_processor_leaves_on_a_simulated_device(
    subject: Subject, request: pytest.FixtureRequest, say_broken: Callable[[str], None]
) -> None:
    options = request.config.option
    report = explored("collecting", subject, CASES[options.profile], options.plumbline_seed, say_broken)
    assert report["judged"]["PREP-019"]


@pytest.mark.requirement("POOL-001", "POOL-003", "POOL-008", "POOL-009", "POOL-019")
@pytest.mark.requirement("MOVE-006", "MOVE-007", "MOVE-009", "MOVE-010")
def test_deliveries_between_simulated_devices(
    subject: Subject, request: pytest.FixtureRequest, say_broken: Callable[[str], None]
) -> None:
    claimed(subject, Capability.TRANSPORT, Capability.DEVICE)
    options = request.config.option
    cases = DELIVERED[options.profile]
    report = explored("deliveries", subject, cases, options.plumbline_seed, say_broken)
    assert report["cases"] >= 8 * cases
    assert set(report["judged"]) >= ALWAYS


@pytest.mark.requirement("RANK-002", "RANK-004", "RANK-008")
def test_ranks_with_simulated_devices(
    subject: Subject, request: pytest.FixtureRequest, say_broken: Callable[[str], None]
) -> None:
    claimed(subject, Capability.RANKS, Capability.DEVICE)
    options = request.config.option
    report = explored("ranks", subject, CASES[options.profile], options.plumbline_seed, say_broken)
    assert report["cases"] >= CASES[options.profile]
    assert report["judged"]["RANK-008"]


@pytest.mark.requirement("GRAPH-001", "GRAPH-002", "GRAPH-003", "GRAPH-004", "GRAPH-005", "GRAPH-006")
@pytest.mark.requirement("NUM-001", "EPOCH-003")
def test_towers_on_a_simulated_device(
    subject: Subject, request: pytest.FixtureRequest, say_broken: Callable[[str], None]
) -> None:
    if subject.implementation.tower is None:
        pytest.skip("no tower of its own")
    options = request.config.option
    report = explored("towers", subject, TOLD[options.profile], options.plumbline_seed, say_broken)
    if report["uncertified"]:
        pytest.skip("not certified here")
    assert report["cases"] == TOLD[options.profile]
    assert set(report["judged"]) >= {"GRAPH-006", "EPOCH-003"}
    if Capability.GRAPHS in subject.implementation.capabilities:
        assert set(report["judged"]) >= {f"GRAPH-00{number}" for number in range(1, 7)}


def test_what_is_wrong_with_a_tower_is_said() -> None:
    """By a mutant that reads old weights."""
    done = child("plumbline.sim", "towers", "--impl", "mutants/b026_old_weights_kept.py", "--cases", "1")
    report = json.loads(done.stdout)
    if report["uncertified"]:
        pytest.skip("not certified here")
    assert done.returncode == 1
    assert [finding["requirement"] for finding in report["findings"]] == ["EPOCH-003"]
