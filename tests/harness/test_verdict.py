"""What a run comes to, by what its tests said."""

from __future__ import annotations

from pathlib import Path

import pytest

from plumbline.resolve import resolve
from plumbline.results import build_report
from plumbline.suite import Outcome


@pytest.mark.parametrize(
    ("status", "broken", "verdict"),
    [
        ("failed", "CACHE-003", "fails"),
        ("failed", "CACHE-014", "fails"),  # SHOULD
        ("failed", "POOL-014", "fails"),  # MAY
        ("passed", "CACHE-014", "conforms"),
    ],
)
def test_what_fails_fails_the_run(status: str, broken: str, verdict: str, tmp_path: Path) -> None:
    outcomes = [
        Outcome("tests/cache/test_cache.py::test_one[optimized]", "optimized", (broken,), status, "wrong", 0.1),
        Outcome("tests/cache/test_cache.py::test_two[optimized]", "optimized", ("CACHE-001",), "passed", "", 0.1),
    ]
    report = build_report([resolve("optimized")], outcomes, [], None, "quick", 7, 0.0, "nox", tmp_path)
    assert report["verdict"] == verdict
