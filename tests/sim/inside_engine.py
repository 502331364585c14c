"""The engine on a simulated device: its own looks make nobody wait, and a device's errors become verdicts."""

from __future__ import annotations

import dataclasses

import pytest

import optimized
from plumbline.engine import run
from plumbline.judge import judge
from plumbline.parts import image
from plumbline.scenario import RequestRecipe, Scenario
from plumbline.sim import LATEST, Machine
from plumbline.sim.place import SimPlace
from plumbline.sim.workloads import FIXED

CLAIMS = optimized.implementation.capabilities


@pytest.mark.parametrize("scenario", FIXED)
def test_a_whole_run_has_no_wait_and_right_rows(scenario: Scenario) -> None:
    with Machine(LATEST) as machine:
        trace = run(scenario, optimized.implementation, SimPlace(machine))
    verdicts = judge(trace, CLAIMS)
    assert not verdicts.violations
    assert verdicts.judged["rows"] >= 4
    assert verdicts.judged["MOVE-001" if scenario.tower.moves_input else "MOVE-003"]
    assert not machine.ledger.syncs
    assert any(copy.late for copy in machine.ledger.copies)
    assert machine.ledger.contexts == {0}


def test_wrong_rows_on_the_device_are_seen() -> None:
    """A place that reads something else than the device holds."""

    class Elsewhere(SimPlace):
        def read(self, value, then):  # type: ignore[no-untyped-def]
            def spoil(seen: object) -> None:
                rows = getattr(seen, "rows", None)
                then(dataclasses.replace(seen, rows=rows + 1) if rows is not None and len(rows) else seen)

            super().read(value, spoil)

    with Machine(LATEST) as machine:
        trace = run(FIXED[0], optimized.implementation, Elsewhere(machine))
    assert "rows" in {v.requirement for v in judge(trace, CLAIMS).violations}


def test_an_error_of_the_device_is_a_crash() -> None:
    scenario = Scenario(requests=(RequestRecipe("r0", items=(image(1, 3, fault=True),)),))
    with Machine(LATEST) as machine:
        trace = run(scenario, optimized.implementation, SimPlace(machine))
    assert [crash.phase for crash in trace.crashes] == ["the device"]
