"""Between a chunk that failed and its second try the weights change or the request is retracted: nothing stale is served."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plumbline.explore import check
from plumbline.interface import Capability
from plumbline.parts import claimed, image
from plumbline.resolve import Subject
from plumbline.scenario import AFTER_FAILURE, Op, RequestRecipe, Scenario

REQUESTS = (RequestRecipe("r0", (image(1), image(2))), RequestRecipe("r1", (image(2), image(3))))


@pytest.mark.requirement("EPOCH-001", "ENC-012")
@pytest.mark.parametrize("hiccups", [(0, 1), (0, 2), (0, 3)], ids=str)
@pytest.mark.parametrize("kind", ["epoch", "retract"])
def test_a_second_try_has_the_rows_of_its_own_time(
    subject: Subject, kind: str, hiccups: tuple[int, ...], say_broken: Callable[[str], None]
) -> None:
    """The tower fails on one of three images, and the others of its chunk may be kept."""
    claimed(subject, *([Capability.EPOCHS] if kind == "epoch" else []))
    ops = (Op(AFTER_FAILURE, kind, 1),)
    scenario = Scenario(requests=REQUESTS, hiccups=hiccups, retries=2, eager_retract=False, ops=ops)
    trace, verdicts = check(scenario, subject.implementation)
    assert "chunk sent again" in trace.reach or verdicts.violations
    for violation in verdicts.violations:
        stale = "EPOCH-001" if kind == "epoch" else "ENC-012"
        say_broken(stale if violation.requirement == "rows" else violation.requirement)
    assert not verdicts.violations, "\n".join(f"{v.requirement}: {v.message}" for v in verdicts.violations)
