"""Readers and a worker take turns, or stop for ever, at any line of the implementation."""

from __future__ import annotations

from functools import partial

import pytest

from plumbline.baton import Baton, Schedule
from plumbline.interface import Capability
from plumbline.parts import claimed
from plumbline.resolve import Subject
from plumbline.tell import tell
from plumbline.transport_explore import check_fault_case, explore_session, found_in
from plumbline.transport_faults import FaultCase, loads, run_faults
from plumbline.transport_strategies import fault_cases

STOPS = 60
"""Lines, spread over what an actor runs, at which each actor is stopped in turn."""


@pytest.mark.workloads
def test_generated_faults(
    subject: Subject, shard: int, request: pytest.FixtureRequest, record_property: pytest.RecordProperty
) -> None:
    claimed(subject, Capability.TRANSPORT)
    lines = max(run_faults(FaultCase(), subject.implementation).lines)
    judged = partial(check_fault_case, implementation=subject.implementation)
    found = explore_session(fault_cases(lines), judged, request.config.option, shard)
    record_property("exploration", found.data("transport", partial(tell, implementation=subject.implementation)))
    assert not found.findings, found.said


@pytest.mark.requirement("POOL-007")
@pytest.mark.requirement("POOL-011")
@pytest.mark.parametrize("actor", [0, 1])
@pytest.mark.parametrize("silent", [False, True])
def test_an_actor_stops_anywhere(
    subject: Subject, actor: int, silent: bool, record_property: pytest.RecordProperty
) -> None:
    """The worker, or a rank, at lines spread over all that it runs; told, or found out by its silence."""
    lines = run_faults(FaultCase(), subject.implementation).lines[actor]
    for line in range(1, lines + 1, max(1, lines // STOPS)):
        case = FaultCase(silent=silent, stops=((actor, line),))
        found = found_in(case, run_faults(case, subject.implementation).verdicts)
        if found.findings:
            record_property(
                "exploration", found.data("transport", partial(tell, implementation=subject.implementation))
            )
        assert not found.findings, found.said


def test_a_case_survives_json_and_gives_the_same_run() -> None:
    from plumbline.resolve import resolve

    case = FaultCase(switches=((5, 1), (3, 2), (40, 0)), stops=((1, 90),))
    assert loads(case.dumps()) == case
    runs = [run_faults(case, resolve("optimized").implementation) for _ in range(3)]
    assert len({tuple(r.lines) for r in runs}) == 1
    assert "rank stopped" in runs[0].seen


def test_who_waits_for_what_never_comes_is_found() -> None:
    """An actor that waits for another one, by the harness's own means, is let go; one that blocks is reported."""
    seen = []
    baton = Baton(Schedule())
    baton.add("a", lambda: seen.append(baton.wait(lambda: False)))
    baton.add("b", lambda: seen.append(baton.wait(lambda: bool(seen))))
    baton.run()
    assert seen == [False, True]
    assert not baton.hung
