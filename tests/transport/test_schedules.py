"""Generated schedules of calls on both sides of a transport, judged by a model of what is owed."""

from __future__ import annotations

from functools import partial

import pytest

from plumbline.interface import Capability
from plumbline.parts import claimed
from plumbline.profiles import PROFILES
from plumbline.resolve import Subject, resolve
from plumbline.tell import tell
from plumbline.transport_explore import FLOORS, check_case, explore_cases, explore_session
from plumbline.transport_scenario import Act, TransportCase, WireItem, WireRequest, loads
from plumbline.transport_strategies import transport_cases


@pytest.mark.workloads
def test_generated_schedules(
    subject: Subject, shard: int, request: pytest.FixtureRequest, record_property: pytest.RecordProperty
) -> None:
    claimed(subject, Capability.TRANSPORT)
    judged = partial(check_case, implementation=subject.implementation)
    found = explore_session(transport_cases(), judged, request.config.option, shard)
    record_property("exploration", found.data("transport", partial(tell, implementation=subject.implementation)))
    assert not found.findings, found.said


@pytest.mark.slow
def test_schedules_reach_what_kills_bugs(subject: Subject, request: pytest.FixtureRequest) -> None:
    claimed(subject, Capability.TRANSPORT)
    if not PROFILES[request.config.option.profile].floors:
        pytest.skip("too few cases for floors")
    # Cases of one drawing resemble each other, so many short drawings are counted together.
    seeds = [request.config.option.plumbline_seed + 99 + 1000 * k for k in range(30)]
    drawings = [
        explore_cases(transport_cases(), lambda case: check_case(case, subject.implementation), 20, seed)
        for seed in seeds
    ]
    cases = sum(found.cases for found in drawings)
    reach = {name: sum(found.reach[name] for found in drawings) / cases for name in FLOORS}
    if not reach["pooled"]:
        pytest.skip("it puts nothing under a lease")
    low = {name: reach[name] for name, least in FLOORS.items() if reach[name] < least}
    failed = any(found.first_failure is not None for found in drawings)
    assert failed or not low, f"situations reached too rarely: {low}"


def test_a_case_survives_json() -> None:
    from hypothesis import given, settings

    @settings(max_examples=50, database=None, deadline=None)
    @given(transport_cases())
    def survives(case: TransportCase) -> None:
        assert loads(case.dumps()) == case

    survives()


def test_a_successor_that_no_rank_sees_owes_nothing_for_its_predecessor() -> None:
    """Everybody was killed, so that nobody could be told of the worker's death when its successor started."""
    acts = [Act("publish"), Act("kill_reader"), Act("kill_worker"), Act("restart_worker"), Act("publish")]
    case = TransportCase(requests=(WireRequest((WireItem(0, (4,)),)),), acts=tuple(acts))
    verdicts, reach = check_case(case, resolve("optimized").implementation)
    assert {"killed rank", "killed worker", "restarted worker", "pooled"} <= reach
    assert not verdicts.violations
