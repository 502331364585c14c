"""The simulated accelerator, always in a process of its own: its device is torch's, for as long as the process lasts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plumbline.interface import Capability
from plumbline.requirements import ROOT
from plumbline.resolve import Subject

CASES = {"quick": 30, "tests": 60, "default": 200, "thorough": 2000, "mutant": 10}
"""Drawn workloads on the device, by profile; each runs under two schedules."""


def child(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, env=environment)


@pytest.mark.parametrize("name", sorted(p.name for p in Path(__file__).parent.glob("inside_*.py")))
def test_in_its_own_process(name: str) -> None:
    done = child("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"tests/sim/{name}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.requirement("IDENT-014", "MOVE-001", "MOVE-002", "MOVE-003", "MOVE-004", "MOVE-005", "MOVE-008")
def test_workloads_on_a_simulated_device(
    subject: Subject, request: pytest.FixtureRequest, record_property: pytest.RecordProperty
) -> None:
    options = request.config.option
    arguments = [*subject.arguments.split(), "--cases", str(CASES[options.profile])]
    done = child("plumbline.sim", *arguments, "--seed", str(options.plumbline_seed))
    assert done.returncode in (0, 1), done.stderr[-4000:]
    report = json.loads(done.stdout)
    for finding in report["findings"]:
        record_property("broken", finding["requirement"])
    said = [f"{f['requirement']}: {f['message']} (schedule {f['seed']})" for f in report["findings"]]
    assert not said, "\n".join(said)
    assert report["cases"] >= CASES[options.profile]
    assert report["judged"]["rows"]
    if Capability.DEVICE in subject.implementation.capabilities:
        assert report["judged"]["IDENT-014"]
