"""Each fault of a request in every golden request and item that can have it: generated workloads reach some of these rarely."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from plumbline.bench import needs
from plumbline.build import build_request
from plumbline.exact import exact_spec
from plumbline.explore import check
from plumbline.golden import ACCEPT
from plumbline.malformed import FAULTS, break_request
from plumbline.requirements import requirements
from plumbline.resolve import Subject
from plumbline.scenario import Scenario


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.requirement(fault.requirement)) for name, fault in FAULTS.items()]
)
def test_a_malformed_request_is_refused_whatever_it_carries(
    subject: Subject, name: str, say_broken: Callable[[str], None]
) -> None:
    claims = subject.implementation.capabilities
    needed = requirements()[FAULTS[name].requirement].needs
    if needed is not None and needed not in claims:
        pytest.skip(f"{needed} is not claimed")
    said = []
    for tower, request in ACCEPT.values():
        whole = build_request(tower, request)
        for at in range(len(whole.items) or 1):
            if needs(tower, request) - claims or break_request(whole, name, exact_spec(tower), at) is None:
                continue
            broken = dataclasses.replace(request, malformed=name, malformed_at=at)
            _, verdicts = check(Scenario(tower=tower, requests=(broken, request)), subject.implementation)
            said += verdicts.violations
    for violation in said:
        say_broken(violation.requirement)
    assert not said, "\n".join(f"{v.requirement}: {v.message}" for v in said)
