"""The committed scorecards: every deviation still shows in its witness, and the tables say what the files say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plumbline.declare import table
from plumbline.deviations import KINDS, read
from plumbline.requirements import ROOT

SCORECARDS = sorted((ROOT / "adapters" / "scorecards").glob("*/deviations.toml"))
RELEASES = {
    "sglang-0.5.12.post1": ("PLUMBLINE_SGLANG", "PLUMBLINE_SGLANG_0_5_12_POST1"),
    "sglang-0.5.23": ("PLUMBLINE_SGLANG", "PLUMBLINE_SGLANG_0_5_23"),
    "vllm-0.33.0": ("PLUMBLINE_VLLM", "PLUMBLINE_VLLM"),
}
"""For each: the variable that the adapter reads, and the one that the session sets."""


@pytest.mark.parametrize("path", SCORECARDS, ids=lambda p: p.parent.name)
def test_every_deviation_is_triaged_and_in_the_table(path: Path) -> None:
    deviations = read(path)
    assert deviations
    assert all(d.kind in KINDS and len(d.reason) > 20 for d in deviations)
    assert table(path) in (path.parent / "README.md").read_text()
    cases = {path.parent / d.witness for d in deviations if d.scenario}
    assert cases == set((path.parent / "cases").glob("*.json")), "a case that no entry names, or the reverse"


@pytest.mark.parametrize("path", SCORECARDS, ids=lambda p: p.parent.name)
def test_every_deviation_shows_in_its_witness(path: Path) -> None:
    read_by, set_by = RELEASES[path.parent.name]
    if set_by not in os.environ:
        pytest.fail(f"{set_by} is not set: run nox -s tests, or name the folder of the unpacked release")
    spec = f"adapters/{path.parent.name.split('-')[0]}.py:implementation"
    child = subprocess.run(
        [sys.executable, __file__, spec, str(path)],
        cwd=ROOT,
        env={**os.environ, read_by: os.environ[set_by], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert child.returncode == 0, child.stdout[-3000:] + child.stderr[-3000:]


def main(spec: str, path: str) -> None:
    """In a process of its own, since two releases cannot share one: cases by replay, tests by running them."""
    import torch

    from plumbline.deviations import check
    from plumbline.resolve import resolve
    from plumbline.suite import run_suite

    torch.set_num_threads(1)
    deviations = read(Path(path))
    tests = sorted({d.witness.split("[")[0] for d in deviations if not d.scenario})
    outcomes = run_suite(["--impl", spec, "-n", "0", "--subjects-only"], only=tests).outcomes if tests else []
    check(deviations, resolve(spec).implementation, [o.nodeid for o in outcomes if o.status == "failed"])


if __name__ == "__main__":
    main(*sys.argv[1:])
