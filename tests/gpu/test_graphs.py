"""Captured graphs on a GPU, in a process of their own: pytest's has no context on any."""

from __future__ import annotations

from pathlib import Path

import pytest

from plumbline.child_tests import run_inside


@pytest.mark.requirement("GRAPH-001", "GRAPH-002", "GRAPH-003", "GRAPH-004", "GRAPH-005", "GRAPH-006", "EPOCH-003")
def test_in_its_own_process(request: pytest.FixtureRequest) -> None:
    seed = str(request.config.option.plumbline_seed)
    run_inside(Path(__file__).with_name("inside_graphs.py"), "--plumbline-seed", seed, "--durations=5")
