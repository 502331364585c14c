"""Makes the dashboard of the files that there are, and the roofline page beside it: nox -s dashboard."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from plumbline import report_folder
from plumbline.dashboard.site import collect, write
from plumbline.dashboard.units import counted
from plumbline.requirements import ROOT
from plumbline.roofline import ceilings, page


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, whatever the dashboard shows: it judges nothing."""
    parser = argparse.ArgumentParser(prog="nox -s dashboard --")
    parser.add_argument("--history", type=Path, default=ROOT / "benchmarks" / "history", help="folder of records")
    parser.add_argument("--report", type=Path, default=ROOT / "report", help="folder to write dashboard.html into")
    parser.add_argument("--conformance", type=Path, nargs="+", help="reports (default: the newest, and the scorecards)")
    parser.add_argument("--mutants", type=Path, help="mutants.json (default: the newest)")
    options = parser.parse_args(argv)
    own = [*sorted(options.history.glob("*-conformance.json")), options.report / "conformance.json"]
    scorecards = sorted((ROOT / "adapters" / "scorecards").glob("*/conformance.json"))
    reports = options.conformance or [path for path in [*own, *scorecards] if path.is_file()]
    sources = collect(options.history, reports, options.mutants or _mutants(options.history, options.report))
    report_folder.put(options.report, {"roofline.html": page.render(ceilings.read(ceilings.FILE))})
    shown = write(sources, options.report)
    for line in sources.unread:
        print(f"not readable: {line}")
    records, columns = counted(len(sources.history.records), "record"), counted(len(sources.columns), "implementation")
    print(f"{records} of speed, {columns}. Open {shown}")
    return 0


def _mutants(history: Path, report: Path) -> Path | None:
    """What was run here, else the newest that the history holds."""
    if (report / "mutants.json").is_file():
        return report / "mutants.json"
    return max(history.glob("*-mutants.json"), default=None)


if __name__ == "__main__":
    raise SystemExit(main())
