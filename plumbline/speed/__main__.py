"""Times every part of an implementation against the reference's, and says whether it became slower.

    python -m plumbline.speed [--impl SPEC] [--quick] [--compare BASE] ...

With --compare, what looks slower is measured again in as many fresh processes before it is believed.

Exit status: 0 measured, and nothing became slower; 1 something did, or an exact counter grew, or a speed was withheld; 2 nothing
could be measured or compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from plumbline import report_folder
from plumbline.requirements import ROOT
from plumbline.resolve import SpecError, folder_of, resolve
from plumbline.results import commit, environment
from plumbline.speed import parts
from plumbline.speed.compare import Verdict, compare, settle
from plumbline.speed.history import BaseNotFound, find
from plumbline.speed.measure import MeasureError, measure, withhold
from plumbline.speed.record import Record, RecordError, hardware, parse
from plumbline.speed.verdicts import SECTIONS, VerdictError, judge, judged_as

HISTORY = ROOT / "benchmarks" / "history"
PARTS, PEERS = "benchmarks/test_parts.py", ("benchmarks/test_processes.py", "benchmarks/test_peers.py")
FULL, QUICK = (5, 0.5, 100), (1, 0.25, 25)
"""Processes, seconds for each benchmark in each of them, and generated workloads in each shard for the verdict."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description="Times an implementation, part by part.")
    parser.add_argument("--impl", metavar="SPEC", default="optimized", help="module:attribute or file.py:attribute")
    parser.add_argument(
        "--replace", metavar="PART=SPEC", action="append", default=[], help="replace one part of --impl"
    )
    parser.add_argument("--deviations", metavar="FILE", help="known failures, each with a witness (TOML)")
    parser.add_argument(
        "--quick", action="store_true", help="one process and few rounds: a minute once the verdict is kept"
    )
    parser.add_argument("--only", metavar="PART[/WORKLOAD]", action="append", default=[], help="leave out the others")
    parser.add_argument(
        "--compare", metavar="BASE", help="a record's file, a commit that benchmarks/history has, or last"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where payloads and rows are")
    parser.add_argument(
        "--processes", type=int, metavar="N", help=f"fresh processes (default: {FULL[0]}, quick {QUICK[0]})"
    )
    parser.add_argument("--report", metavar="DIR", type=Path, default=Path("report"), help="where to write bench.json")
    parser.add_argument("--keep", action="store_true", help="write it to benchmarks/history too")
    return parser.parse_args(argv)


class Ticker:
    """A line every few seconds: how far it is, and how long it will take."""

    SECONDS = 5

    def __init__(self, console: Console) -> None:
        self._console, self._began = console, time.time()
        self._last = self._began

    def done(self, name: str, count: int, total: int) -> None:
        now = time.time()
        if now - self._last > self.SECONDS or count == total:
            self._last = now
            left = (now - self._began) / count * (total - count)
            self._console.print(
                f"  {now - self._began:4.0f} s: {count} of {total} benchmarks, {left:.0f} s left", highlight=False
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = arguments(argv)
    console = Console(file=sys.__stdout__, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 120  # a log has no edge to wrap at
    try:
        return _main(options, console)
    except (SpecError, MeasureError, VerdictError, RecordError, BaseNotFound, OSError) as error:
        console.print(f"[red]{escape(str(error))}[/]")
    except Exception:  # of the harness itself; it must not look like what became slower
        console.print(Text(traceback.format_exc(), style="red"))
    return 2


def _main(options: argparse.Namespace, console: Console) -> int:
    began = time.time()
    subject = resolve(options.impl, options.replace)
    base = _base(options, subject.implementation.name)
    processes, seconds, cases = QUICK if options.quick else FULL
    processes = options.processes or processes
    _check(options.only)
    whom = [f"--impl={options.impl}", *(f"--replace={r}" for r in options.replace)]
    known = [f"--deviations={options.deviations}"] if options.deviations else []
    console.print(f"{subject.implementation.name} against the reference; first whether it is right")
    broken, verdicts = judge([*whom, *known], cases, options.report)
    files = [PARTS] if options.quick or options.device == "cuda" else [PARTS, *PEERS]
    given = [*files, *whom, f"--seconds={seconds}", f"--device={options.device}"]
    asked = [*given, *(f"--only={only}" for only in options.only)]
    console.print(f"now its times, in {processes} processes")
    data = measure(asked, processes, Ticker(console).done)
    withhold(data, broken)
    for entry in data["benchmarks"]:
        name, part = entry["extra_info"]["implementation"], entry["group"].partition("/")[0]
        entry["extra_info"]["verdict"] = verdicts.get(judged_as(name, verdicts), {}).get(part, "")
    for entry in data["plumbline"]["withheld"]:
        entry["device"] = options.device
    data["plumbline"] |= {"profile": "quick" if options.quick else "full", "arguments": asked, "suite": commit()}
    data["commit_info"] = commit_info([options.impl, *(r.partition("=")[2] for r in options.replace)])
    record = parse(data, "bench.json")
    show(record, console)
    for path in _write(data, record, options):
        console.print(f"{path} written, {time.time() - began:.0f} s")
    slower = base is not None and compared(kept(base, options.only), record, given, processes, console)
    return 1 if record.withheld or slower else 0


def commit_info(specs: Sequence[str]) -> dict[str, Any]:
    """Of the first that is not Plumbline's own, whose history this is; as pytest-benchmark writes it. Specs that are loaded."""
    folder = next((f for f in map(folder_of, specs) if not f.is_relative_to(ROOT)), ROOT)
    name = commit(folder) or ""
    return {"id": name.rstrip("+"), "dirty": name.endswith("+"), "project": folder.name}


def _base(options: argparse.Namespace, implementation: str) -> Record | None:
    if not options.compare:
        return None
    return find(HISTORY, options.compare, hardware(environment(), options.device), implementation)


def _check(only: Sequence[str]) -> None:
    """Raises MeasureError for what names nothing, before anything takes minutes."""
    others = SECTIONS.keys() - parts.PARTS.keys()  # their benchmarks are known only when they run
    for name in only:
        if name not in {*SECTIONS, *parts.BENCHMARKS} and name.partition("/")[0] not in others:
            known = ", ".join(sorted({*parts.BENCHMARKS, *others}))
            raise MeasureError(f"--only {name!r} is neither a part nor one of: {known}")


def kept(base: Record, only: Sequence[str]) -> Record:
    """What --only leaves of it."""
    return replace(base, measurements=tuple(m for m in base.measurements if parts.is_chosen(m.key.benchmark, only)))


def compared(base: Record, record: Record, given: list[str], processes: int, console: Console) -> bool:
    """Whether anything got worse since ``base``. What is suspected is measured again first. Raises BaseNotFound if nothing of it
    was measured now."""
    changes = compare(base, record)
    if record.measurements and all(c.verdict is Verdict.NEW for c in changes):
        raise BaseNotFound(f"{base.name} has nothing of what was measured now: there is nothing to compare")

    def again(suspects: Sequence[str]) -> Record:
        console.print(f"measuring again: {', '.join(suspects)}")
        only = [f"--only={name}" for name in suspects]
        return parse(measure([*given, *only], processes, Ticker(console).done), "again")

    changes = settle(changes, again)
    console.print(f"since {base.commit or base.name}, of {base.when}:")
    for c in changes:
        if c.verdict is not Verdict.SAME:
            console.print(f"  [{'red' if c.fails else 'default'}]{escape(str(c))}[/]")
    if processes == 1:
        console.print("one process shows no slowdown but a very large one; its counters are what was compared")
    same = sum(c.verdict is Verdict.SAME for c in changes)
    console.print(f"{same} of {len(changes)} the same; {sum(c.fails for c in changes)} got worse")
    return any(c.fails for c in changes)


def _write(data: dict[str, Any], record: Record, options: argparse.Namespace) -> list[Path]:
    paths = [options.report / "bench.json"]
    if options.keep:
        place = "cpu" if options.device == "cpu" else "gpu"
        second = record.when[11:19].replace(":", "")  # so that no run takes another's place
        paths.append(HISTORY / f"{record.when[:10]}-{record.commit or 'unknown'}-bench-{place}-{second}.json")
    for path in paths:
        report_folder.put(path.parent, {path.name: json.dumps(data) + "\n"})
    return paths


def show(record: Record, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("benchmark", "", "median", "ratio, 95 %", "over", "copied", "suite"):
        table.add_column(name, justify="right" if name in ("median", "copied") else "left", overflow="fold")
    for m in record.measurements:
        if m.baseline or all(m.key.implementation != other.baseline for other in record.measurements):
            shown = f"{m.ratio.middle:.3f} [{m.ratio.low:.3f}, {m.ratio.high:.3f}]" if m.ratio else ""
            copied = f"{m.counters['copied_bytes'] / 2**20:.2f} MiB" if "copied_bytes" in m.counters else ""
            row = [
                m.key.benchmark,
                m.key.implementation,
                f"{1e3 * m.median:.3f} ms",
                shown,
                m.baseline,
                copied,
                m.verdict,
            ]
            table.add_row(*map(escape, row))
    console.print(table)
    for w in record.withheld:
        console.print(f"[red]no speed[/] {escape(f'{w.benchmark} {w.implementation}'.rstrip() + f': {w.reason}')}")


if __name__ == "__main__":
    raise SystemExit(main())
