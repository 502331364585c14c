"""Runs the suite in pytest and gathers what each test said, for reports and for the kill matrix."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from plumbline.requirements import ROOT


@dataclass
class Outcome:
    """One test. status: passed, failed or skipped. exploration: what generated workloads found, as JSON.

    broken: the requirements that a failure is about, where the test said so; otherwise all that it cites. judges: it always
    says so, and a failure about none is of what it tests with.
    """

    nodeid: str
    subject: str | None
    requirements: tuple[str, ...]
    status: str
    message: str
    seconds: float
    exploration: dict[str, object] | None = None
    broken: tuple[str, ...] = ()
    judges: bool = False
    where: tuple[str, ...] = ()
    """Lines of a failed test, and of what it called, from outside inwards."""


@dataclass
class Collector:
    """A pytest plugin. done is called with each outcome as it comes; True from it ends the session. first: requirements whose
    tests go first, workloads after them."""

    done: Callable[[Outcome, int, int], object] = lambda *_: None
    first: frozenset[str] = frozenset()
    outcomes: list[Outcome] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    total: int = 0
    _session: pytest.Session | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.first:
            items.sort(key=self._late)

    def _late(self, item: pytest.Item) -> int:
        properties: dict[str, Any] = dict(item.user_properties)
        if self.first.intersection(properties["requirements"]):
            return 0
        return 1 if item.get_closest_marker("workloads") else 2

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.total = len(session.items) or self.total
        self._session = session

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:
        self.total = len(ids)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return  # setting up and tearing down is worth a word only where it failed or skipped
        properties: dict[str, Any] = dict(report.user_properties)
        outcome = Outcome(
            nodeid=report.nodeid,
            subject=properties.get("subject"),
            requirements=tuple(properties.get("requirements", ())),
            status=report.outcome,
            message=_message(report),
            seconds=report.duration,
            exploration=properties.get("exploration"),
            broken=tuple(str(value) for name, value in report.user_properties if name == "broken"),
            judges=bool(properties.get("judges")),
            where=_where(report),
        )
        self.outcomes.append(outcome)
        if self.done(outcome, len(self.outcomes), self.total) is True and self._session:
            self._session.shouldstop = "enough was seen"


def _message(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return _shortened(str(crash.message) if crash else report.longreprtext)


MOST_LINES, MOST_CHARACTERS = 12, 1200
"""Of a message: a comparison of tensors says it at its beginning."""


def _shortened(message: str) -> str:
    lines = message[:MOST_CHARACTERS].splitlines()[:MOST_LINES]
    return "\n".join(lines) + ("" if "\n".join(lines) == message.rstrip("\n") else " ...")


def _where(report: pytest.TestReport) -> tuple[str, ...]:
    """Where a test failed: file and line in the test, and the last one of what it called."""
    entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", [])
    places = [entry.reprfileloc for entry in entries if getattr(entry, "reprfileloc", None) is not None]
    found = [f"{place.path}:{place.lineno}" for place in places]
    return tuple(dict.fromkeys([*found[:1], *found[-1:]])) if report.failed else ()


def run_suite(
    arguments: Sequence[str],
    done: Callable[[Outcome, int, int], object] = lambda *_: None,
    quiet: bool = True,
    only: Sequence[str] = ("tests",),
    first: frozenset[str] = frozenset(),
    plugins: Sequence[object] = (),
) -> Collector:
    """Runs pytest over tests/ in this process (and in xdist's workers, if ``arguments`` ask for them).

    only: node ids from the repository's root. done, first: as in Collector. plugins: of pytest, besides the collector.
    """
    collector = Collector(done, first)
    fixed = ["-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    fixed += [str(ROOT / one) for one in only]
    with contextlib.redirect_stdout(io.StringIO() if quiet else sys.stdout) as output:
        status = pytest.main([*fixed, *arguments], plugins=[collector, *plugins])
    if not collector.outcomes and quiet and status != pytest.ExitCode.NO_TESTS_COLLECTED:
        collector.errors.append(output.getvalue())  # type: ignore[union-attr]
    return collector
