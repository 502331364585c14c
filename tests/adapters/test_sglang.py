"""The SGLang adapter, each release in a process of its own: ``sglang_checks.py`` is what runs there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.sglang_release import VARIABLE, folder
from plumbline.requirements import ROOT

CHECKS = Path(__file__).with_name("sglang_checks.py")
SECONDS = 300


@pytest.mark.parametrize("version", ["0.5.12.post1", "0.5.23"])
def test_a_release_batches_caches_and_evicts_and_its_parts_can_be_replaced(version: str) -> None:
    name = f"{VARIABLE}_{version.upper().replace('.', '_')}"
    if name not in os.environ:
        pytest.fail(f"{name} is not set: run `nox -s tests`, or name the folder of the unpacked wheel of {version}")
    environment = os.environ | {VARIABLE: os.environ[name], "PLUMBLINE_SGLANG_EXPECTED": version}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(CHECKS)]
    child = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert child.returncode == 0, child.stdout + child.stderr


@pytest.mark.parametrize("given", [None, "", "no/such/folder"])
def test_without_a_release_the_error_says_what_to_do(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if given is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ImportError, match=rf"{VARIABLE} .*nox -s sglang.*checkout"):
        folder()
