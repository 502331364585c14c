"""Generated workloads, judged by every requirement that applies: most of what the suite finds, it finds here."""

from __future__ import annotations

import json

import pytest

from plumbline.explore import Exploration, explore
from plumbline.interface import Implementation
from plumbline.profiles import PROFILES
from plumbline.reach import FLOORS
from plumbline.resolve import Subject
from plumbline.strategies import DRAWN
from plumbline.tell import tell


def exploration_json(found: Exploration, implementation: Implementation) -> dict[str, object]:
    """Plain data, so that it survives the way from an xdist worker."""
    return {
        "cases": found.cases,
        "seconds": found.seconds,
        "first_failure": found.first_failure,
        "judged": dict(found.judged),
        "reach": dict(found.reach),
        "findings": [
            {
                "requirement": f.requirement,
                "message": f.message,
                "without": f.without,
                "scenario": json.loads(f.scenario.dumps()),
                "story": tell(f.scenario, implementation).data(),
            }
            for f in found.findings.values()
        ],
    }


def said(found: Exploration) -> str:
    return "\n".join(f"{f.requirement}: {f.message}" for f in found.findings.values())


@pytest.mark.workloads
def test_generated_workloads(
    subject: Subject, shard: int, request: pytest.FixtureRequest, record_property: pytest.RecordProperty
) -> None:
    options = request.config.option
    profile = PROFILES[options.profile]
    found = explore(
        subject.implementation,
        examples=options.cases or profile.cases,
        session_seed=options.plumbline_seed + shard,
        seconds=15 if profile.stop_at_first else float("inf"),
        patience=profile.patience,
        stop_at_first=profile.stop_at_first,
        known=frozenset(options.known),
    )
    record_property("exploration", exploration_json(found, subject.implementation))
    assert not found.findings, said(found)


@pytest.mark.requirement("ISO-006")
@pytest.mark.slow
def test_what_is_not_claimed_is_refused_or_right(
    subject: Subject, request: pytest.FixtureRequest, record_property: pytest.RecordProperty
) -> None:
    if subject.implementation.capabilities >= DRAWN:
        pytest.skip("everything is claimed")
    options = request.config.option
    known = frozenset(options.known)
    found = explore(subject.implementation, 600, options.plumbline_seed, shrink=False, draw=DRAWN, known=known)
    assert not found.findings, said(found)


@pytest.mark.workloads
@pytest.mark.slow
def test_reach(subject: Subject, request: pytest.FixtureRequest) -> None:
    """The floors are checked on a drawing of its own, so that they do not depend on how shards are cut."""
    if not PROFILES[request.config.option.profile].floors:
        pytest.skip("too few cases for floors")
    if not subject.implementation.capabilities >= DRAWN:
        pytest.skip("what is not claimed is not drawn")
    # Cases of one drawing resemble each other, so many short drawings are counted together.
    seeds = [request.config.option.plumbline_seed + 77 + 1000 * k for k in range(25)]
    drawings = [explore(subject.implementation, 40, seed) for seed in seeds]
    cases = sum(found.cases for found in drawings)
    reach = {name: sum(found.reach[name] for found in drawings) / cases for name in FLOORS}
    low = {name: reach[name] for name, floor in FLOORS.items() if reach[name] < floor}
    failed = any(found.first_failure is not None for found in drawings)
    assert failed or not low, f"situations reached too rarely: {low}"
