"""One fresh process of a run: pytest over files of benchmarks/, and a line of JSON for each benchmark that ends.

python -m plumbline.speed.process ARGUMENTS OF PYTEST
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence

import pytest

from plumbline.requirements import ROOT

MARK = "@benchmark "
"""How a line begins that is for whoever started the process."""


class Speaker:
    """A pytest plugin. It says how many benchmarks there are, then which one begins and how it ended."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._say({"total": len(session.items)})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._say({"broken": f"{report.nodeid}: {report.longreprtext[-1000:]}"})

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._say({"begins": self._name(nodeid)})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            name = self._name(report.nodeid)
            crash = getattr(report.longrepr, "reprcrash", None)
            message = str(crash.message).partition("\n")[0] if crash else ""
            self._say({"benchmark": name, "outcome": report.outcome, "message": message})

    @staticmethod
    def _name(nodeid: str) -> str:
        return nodeid.partition("[")[2].removesuffix("]") or nodeid

    @staticmethod
    def _say(what: dict[str, object]) -> None:
        print(MARK + json.dumps(what), file=sys.__stdout__, flush=True)


def main(arguments: Sequence[str]) -> int:
    place = ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    fixed = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *place]
    with contextlib.redirect_stdout(io.StringIO()):  # pytest's own words; who wants them runs pytest benchmarks/
        return int(pytest.main([*fixed, *arguments], plugins=[Speaker()]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
