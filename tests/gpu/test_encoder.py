"""Towers of real sizes and the driver around them on a GPU, in a process of their own: pytest's has no context on any."""

from __future__ import annotations

from pathlib import Path

import pytest

from plumbline.child_tests import run_inside


@pytest.mark.requirement("NUM-001", "ENC-001", "CHUNK-001", "MOVE-003", "MOVE-008", "GRAPH-005", "EPOCH-003")
def test_in_its_own_process(request: pytest.FixtureRequest) -> None:
    seed = str(request.config.option.plumbline_seed)
    run_inside(Path(__file__).with_name("inside_encoder.py"), "--plumbline-seed", seed, "--durations=5")
