"""Times every part of an implementation against the reference's, and says whether it became slower.

    python -m plumbline.speed [--impl SPEC] [--quick] [--compare BASE] ...

With --compare, the base's code is measured in turns with today's where it is at hand; what looks slower is measured again.

Exit status: 0 measured, and nothing became slower; 1 something did, or an exact counter grew, or a speed was withheld; 2 nothing
could be measured or compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
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
from plumbline.speed.base import HISTORY, Base, base_of
from plumbline.speed.compare import AGAIN, Again, Verdict, compare, settle
from plumbline.speed.history import BaseNotFound
from plumbline.speed.measure import MeasureError, Side, measure_in_turns, withhold
from plumbline.speed.record import Record, RecordError, hardware, parse
from plumbline.speed.verdicts import SECTIONS, VerdictError, judge, judged_as

PARTS, PEERS = "benchmarks/test_parts.py", ("benchmarks/test_processes.py", "benchmarks/test_peers.py")
FULL, QUICK = (5, 0.5, 100), (1, 0.25, 25)
"""Processes, seconds for each benchmark in each of them, and generated workloads in each shard for the verdict."""
IN_TURNS = 3
"""Processes of each side where the base's code is measured too: enough to suspect, and what is suspected gets more."""


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
        "--compare", metavar="BASE", help="a commit, or last, that of the newest record; or a record's file"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where payloads and rows are")
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help=f"fresh processes (default: {FULL[0]}, in turns {IN_TURNS}, quick {QUICK[0]})",
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
    _check(options.only)
    checkout = whose([options.impl, *(r.partition("=")[2] for r in options.replace)])
    usual, seconds, cases = QUICK if options.quick else FULL
    whom = [f"--impl={options.impl}", *(f"--replace={r}" for r in options.replace)]
    known = [f"--deviations={options.deviations}"] if options.deviations else []
    files = [PARTS] if options.quick or options.device == "cuda" else [PARTS, *PEERS]
    given = [*files, *whom, f"--seconds={seconds}", f"--device={options.device}"]
    with _base(options, subject.implementation.name, checkout == ROOT) as base:
        console.print(f"{subject.implementation.name} against the reference; first whether it is right")
        broken, verdicts = judge([*whom, *known], cases, options.report)
        if isinstance(base, Path):
            usual = min(usual, IN_TURNS)
        processes = options.processes or usual
        beside = f", and of {options.compare} in turns with them" if isinstance(base, Path) else ""
        console.print(f"now its times, in {processes} processes{beside}")
        *before, data = _times(given, options.only, base, processes, console)
        withhold(data, broken)
        profile = "quick" if options.quick else "full"
        data["plumbline"] |= {"profile": profile, "arguments": _asked(given, options.only), "suite": commit()}
        data["commit_info"] = commit_info(checkout)
        _say_verdicts(data, verdicts, options.device)
        record = parse(data, "bench.json")
        show(record, console)
        for path in _write(data, record, options):
            console.print(f"{path} written, {time.time() - began:.0f} s")
        if base is None:
            return 1 if record.withheld else 0
        if isinstance(base, Record):
            console.print(
                "without the base's code: what has changed about the machine since then looks like a change of the code"
            )
            old = base
        else:
            old = replace(parse(before[0], options.compare), profile=profile)

        def again(suspects: Sequence[str]) -> tuple[Record | None, Record]:
            console.print(f"measuring again: {', '.join(suspects)}")
            *theirs, ours = _times([*given, "--times-only"], suspects, base, AGAIN if processes > 1 else 1, console)
            return parse(theirs[0], "again") if theirs else None, parse(ours, "again")

        return 1 if compared(kept(old, options.only), record, again, console) or record.withheld else 0


def _base(options: argparse.Namespace, implementation: str, ours: bool) -> AbstractContextManager[Base | None]:
    if not options.compare:
        return nullcontext()
    return base_of(options.compare, implementation, hardware(environment(), options.device), ours)


def _say_verdicts(data: dict[str, Any], verdicts: Mapping[str, Mapping[str, str]], device: str) -> None:
    for entry in data["benchmarks"]:
        name, part = entry["extra_info"]["implementation"], entry["group"].partition("/")[0]
        entry["extra_info"]["verdict"] = verdicts.get(judged_as(name, verdicts), {}).get(part, "")
    for entry in data["plumbline"]["withheld"]:
        entry["device"] = device


def _times(
    given: Sequence[str], only: Sequence[str], base: Base | None, processes: int, console: Console
) -> list[dict[str, Any]]:
    """Of the base's code, if there is such, and of today's."""
    asked = _asked(given, only)
    sides = [Side(asked, base)] if isinstance(base, Path) else []
    return measure_in_turns([*sides, Side(asked)], processes, Ticker(console).done)


def _asked(given: Sequence[str], only: Sequence[str]) -> list[str]:
    return [*given, *(f"--only={name}" for name in only)]


def whose(specs: Sequence[str]) -> Path:
    """The folder of the first that is not Plumbline's own: the history is that of its checkout. Of specs that are loaded."""
    return next((f for f in map(folder_of, specs) if not f.is_relative_to(ROOT)), ROOT)


def commit_info(folder: Path) -> dict[str, Any]:
    """As pytest-benchmark writes it."""
    name = commit(folder) or ""
    return {"id": name.rstrip("+"), "dirty": name.endswith("+"), "project": folder.name}


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


def compared(base: Record, record: Record, again: Again, console: Console) -> bool:
    """Whether anything got worse since ``base``. What is suspected is measured ``again`` first. Raises BaseNotFound if nothing of
    it was measured now."""
    changes = compare(base, record)
    if record.measurements and all(c.verdict is Verdict.NEW for c in changes):
        raise BaseNotFound(f"{base.name} has nothing of what was measured now: there is nothing to compare")
    changes = settle(changes, again)
    console.print(f"since {base.commit or base.name}, of {base.when}:")
    for c in changes:
        if c.verdict is not Verdict.SAME:
            console.print(f"  [{'red' if c.fails else 'default'}]{escape(str(c))}[/]")
    if {len(m.processes) for m in record.measurements} == {1}:
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
