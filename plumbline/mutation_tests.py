"""The tests of a mutation run, inside the copy that is mutated: up to the first that fails, or all of them with their lines.

    python -m plumbline.mutation_tests PLAN

PLAN is JSON: ``subject``, ``seed``, and ``lines``, a file that is written. It then tells, of each test that passed, which
lines of optimized/ and reference/ it executed.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plumbline.mutants import killers_of
from plumbline.profiles import PROFILES
from plumbline.requirements import ROOT
from plumbline.suite import Outcome, run_suite

FOLDERS = (
    "identity",
    "preparation",
    "encoding",
    "cache",
    "lifecycle",
    "isolation",
    "workloads",
    "ranks",
    "transport",
    "graphs",
    "numerics",
    "sim",
)
LEFT_OUT = (
    "tests/transport/test_processes.py",
    "tests/transport/test_lease_model.py::test_the_protocol",
    "tests/transport/test_remote.py",
    "tests/transport/test_soak.py",
    "tests/ranks/test_processes.py",
    "tests/identity/test_blake3_triton.py",
    "tests/numerics/test_fast_kernels.py",
)
"""Processes that take minutes, a model that is no implementation, and kernels that are not mutated; slow tests besides."""


def run_tests(plan: dict[str, Any]) -> dict[str, Any]:
    """Runs the plan's tests up to the first that fails: its name and requirements, or nothing where all passed."""
    # Whoever reads a list of survivors needs no smallest case of a mutant that was killed.
    PROFILES["mutant"] = replace(PROFILES["mutant"], patience=0)
    collector = run_suite([*flags(plan), "-x"], only=plan["tests"])
    for outcome in collector.outcomes:
        if outcome.status == "failed":
            return {"test": outcome.nodeid, "requirements": sorted(killers_of(outcome))}
    return {"test": "import", "requirements": []} if collector.errors else {}


def flags(plan: dict[str, Any]) -> list[str]:
    seed = str(plan["seed"])
    return ["--impl", plan["subject"], "--profile", "mutant", "--plumbline-seed", seed, "-p", "no:xdist"]


class Contexts:
    """A pytest plugin: what is executed from here on belongs to this test."""

    def __init__(self, coverage: Any) -> None:
        self.coverage = coverage
        self.judging: dict[str, bool] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            marks = {mark.name for mark in item.iter_markers()}
            judges = "subject" in getattr(item, "fixturenames", ()) and bool(marks & {"requirement", "workloads"})
            self.judging[item.nodeid] = judges and "own" not in marks

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self.coverage.switch_context("")


def measure(plan: dict[str, Any]) -> None:
    """Writes to ``plan["lines"]``, for each test that passed, its seconds, the lines that it executed, and whether it judges any
    implementation."""
    from coverage import Coverage

    arguments = [*flags(plan), "-m", "not slow", *(f"--deselect={name}" for name in LEFT_OUT)]
    coverage = Coverage(data_file=None, source=["optimized", "reference"], config_file=False)
    contexts = Contexts(coverage)
    seconds: dict[str, float] = defaultdict(float)
    failed: dict[str, str] = {}

    def done(outcome: Outcome, count: int, total: int) -> None:
        print(f"{count}/{total} {outcome.seconds:5.1f} s {outcome.nodeid}", file=sys.stderr, flush=True)
        if outcome.status == "passed":
            seconds[outcome.nodeid] += outcome.seconds
        elif outcome.status == "failed":
            failed[outcome.nodeid] = outcome.message

    coverage.start()
    try:
        collector = run_suite(arguments, done, only=[f"tests/{name}" for name in FOLDERS], plugins=[contexts])
    finally:
        coverage.stop()
    lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    data = coverage.get_data()
    for file in data.measured_files():
        name = str(Path(file).relative_to(ROOT))
        for line, tests in data.contexts_by_lineno(file).items():
            for test in tests:
                lines[test][name].append(line)
    found = {
        test: {"seconds": round(took, 3), "judges": contexts.judging[test], "lines": lines[test]}
        for test, took in seconds.items()
    }
    errors = failed | {str(number): text for number, text in enumerate(collector.errors)}
    Path(plan["lines"]).write_text(json.dumps({"tests": found, "at_import": lines[""], "failed": errors}))


if __name__ == "__main__":
    measure(json.loads(sys.argv[1]))
