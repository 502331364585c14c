"""Identities of payloads on a GPU, in a process of its own: pytest's has no context on any."""

from __future__ import annotations

from pathlib import Path

import pytest

from plumbline.child_tests import run_inside


@pytest.mark.requirement("IDENT-014")
def test_in_its_own_process(request: pytest.FixtureRequest) -> None:
    seed = str(request.config.option.plumbline_seed)
    run_inside(Path(__file__).with_name("inside_device_identity.py"), "--plumbline-seed", seed, "--durations=5")
