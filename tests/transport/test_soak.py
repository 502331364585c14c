"""The soak of the GPU suite in small, on the CPU: that it reaches what it is for, and finds what is wrong."""

from __future__ import annotations

import pytest

from plumbline.soak import Scale, Soak, Summary

SMALL = Scale(most=1 << 16, large=1 << 19, rare=100, host=1 << 20, device=0)


def soak(requests: int, seed: int, spec: str = "optimized") -> Summary:
    return Soak(["cpu", "cpu"], requests, seed, SMALL, kills=3, delays=3, spec=spec).run()


@pytest.mark.requirement("POOL-001", "POOL-003", "POOL-007", "POOL-011", "POOL-015", "POOL-018")
def test_nothing_is_found(request: pytest.FixtureRequest) -> None:
    summary = soak(300, request.config.option.plumbline_seed)
    assert not summary.findings
    assert summary.requests == 300
    assert (summary.killed_workers, summary.killed_ranks, summary.delays) == (2, 2, 3)
    assert summary.reads + summary.fenced + summary.unread >= 200
    assert summary.ways["host"] > 100


@pytest.mark.parametrize(
    ("mutant", "said"),
    [("b049_dead_readers_wait", "under leases"), ("b064_first_release_frees", "request")],
)
def test_what_is_wrong_is_found(mutant: str, said: str) -> None:
    assert any(said in finding for finding in soak(300, 1, f"mutants/{mutant}.py").findings)
