"""Identities of payloads on a GPU, in a process of its own: pytest's has no context on any."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from plumbline.requirements import ROOT


@pytest.mark.requirement("IDENT-014")
def test_in_its_own_process(request: pytest.FixtureRequest) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    seed = str(request.config.option.plumbline_seed)
    command = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--plumbline-seed", seed]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command, "--durations=5", "tests/gpu/inside_device_identity.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
