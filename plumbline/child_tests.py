"""Tests in a process of their own, for what a process cannot take back: a device, a context, an interpreter's mode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from plumbline.requirements import ROOT

SECONDS = 1800


def child(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m`` these arguments, from the repository's root, knowing nothing of a pytest around it."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, env=inherited | environment
    )


def run_inside(file: Path, *arguments: str, **environment: str) -> None:
    """All tests of a file. Fails with what pytest printed. arguments: more of pytest's own."""
    plain = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = child("pytest", *plain, *arguments, str(file), **environment)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
