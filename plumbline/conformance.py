"""The main job: photos through two implementations, the suite, a scorecard and a report.

    python -m plumbline.conformance [--impl SPEC] [--replace PART=SPEC] [--quick] ...

Exit status: 0 every core and claimed requirement held; 1 one did not, or rows differed; 2 nothing could be said.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.text import Text

from plumbline.profiles import PROFILES, shards_for
from plumbline.pytest_plugin import DEFAULT_IMPLEMENTATIONS
from plumbline.suite import Collector, Outcome, run_suite

if TYPE_CHECKING:
    from plumbline.deviations import Deviation
    from plumbline.resolve import Subject

_GAP = ["what is claimed must be judged, so this run fails", "a full run will"]


class Ticker:
    """Progress of the suite: a bar on a terminal, a line every few seconds elsewhere; failures at once."""

    SECONDS = 5

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = [*Progress.get_default_columns()[:3], TimeElapsedColumn(), MofNCompleteColumn()]
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("suite", total=None)
        self._began = self._last = time.time()
        self._failed = 0
        self._named: set[str] = set()

    def __enter__(self) -> Ticker:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def done(self, outcome: Outcome, count: int, total: int) -> None:
        self._bar.update(self._task, completed=count, total=total)
        if outcome.status == "failed":
            self._failed += 1
            name = outcome.nodeid.removeprefix("tests/").split("[")[0]
            if name not in self._named:  # once for all of its parameters
                self._named.add(name)
                self._bar.console.print(f"  [red]failed[/] {escape(name)}", soft_wrap=True)
        now = time.time()
        if not self._console.is_terminal and (now - self._last > self.SECONDS or count == total):
            self._last = now
            self._console.print(f"  {now - self._began:4.0f} s: {count} of {total} tests, {self._failed} failed")


class NothingSaid(Exception):
    """A run that cannot come to a verdict: says why."""


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="nox -s conformance --", description="Holds an implementation against conformance.md."
    )
    parser.add_argument(
        "--impl", metavar="SPEC", help="module:attribute or file.py:attribute (default: reference and optimized)"
    )
    parser.add_argument(
        "--replace", metavar="PART=SPEC", action="append", default=[], help="replace one part of --impl"
    )
    parser.add_argument("--deviations", metavar="FILE", type=Path, help="known failures, each with a witness (TOML)")
    parser.add_argument(
        "--declare", metavar="FILE", type=Path, help="write what failed to this file of deviations, to be triaged"
    )
    parser.add_argument("--images", metavar="DIR", type=Path, help="your own photos (default: fixtures/photos)")
    parser.add_argument(
        "--quick", action="store_true", help="a first verdict in about a minute: fewer cases, no photos"
    )
    parser.add_argument("--thorough", action="store_true", help="100,000 cases for each implementation")
    parser.add_argument("--cases", type=_positive, metavar="N", help="generated workloads in each shard")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the generated workloads (default: a new one)")
    parser.add_argument("--inproc", action="store_true", help="everything in one process, for a debugger")
    parser.add_argument("--workers", type=int, metavar="N", default=os.cpu_count() or 1, help="processes for the suite")
    parser.add_argument("--replay", metavar="CASE", type=Path, help="run one saved case again, and nothing else")
    parser.add_argument(
        "--report", metavar="DIR", type=Path, default=Path("report"), help="where to write (default: report)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    options = arguments(given)
    console = Console(file=sys.__stdout__, highlight=False)
    import torch

    torch.set_num_threads(1)
    from plumbline import report_folder
    from plumbline.deviations import DeviationError
    from plumbline.explore import unwatched
    from plumbline.replay import CaseError, replay
    from plumbline.resolve import SpecError

    try:
        with unwatched(bool(options.inproc or options.replay)):
            if options.replay:
                return max(replay(options.replay, s.implementation, console) for s in _subjects(options))
            report_folder.discard(options.report)
            return _judge(options, given, console)
    except (SpecError, DeviationError, CaseError, NothingSaid) as error:
        why = str(error)
    except Exception:  # of the harness itself; it must not look like a requirement that fails
        why = traceback.format_exc()
    console.print(Text(why, style="red"))
    if not options.replay:
        with contextlib.suppress(OSError):  # it was said
            report_folder.put_nothing_said(options.report, why)
    return 2


def _specs(options: argparse.Namespace) -> list[str]:
    if options.impl or options.replace:
        return [options.impl or "optimized"]
    return DEFAULT_IMPLEMENTATIONS


def _subjects(options: argparse.Namespace) -> list[Subject]:
    from plumbline.resolve import resolve

    return [resolve(spec, options.replace) for spec in _specs(options)]


def _judge(options: argparse.Namespace, given: list[str], console: Console) -> int:
    from plumbline import deviations, report, report_folder
    from plumbline.declare import declare
    from plumbline.results import build_report, unjudged
    from plumbline.scorecard import print_scorecard

    subjects = _subjects(options)
    known = deviations.read(options.deviations) if options.deviations else []
    profile = "quick" if options.quick else "thorough" if options.thorough else "default"
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    started = time.time()
    for subject in subjects:
        filled = f", with the reference's {', '.join(subject.filled)}" if subject.filled else ""
        console.print(
            Text.assemble(
                "implementation: ",
                (subject.implementation.name, "bold"),
                f" {subject.implementation.version}{filled}",
            )
        )
    console.print(f"profile {profile}, seed {seed}")
    photos = _photos(options, subjects, console)
    collector = _suite(options, known, profile, seed, console)
    if collector.errors or not collector.outcomes:
        raise NothingSaid("the suite could not run:\n" + "\n".join(collector.errors or ["no test was collected"]))
    if len(collector.outcomes) < collector.total:
        missing = collector.total - len(collector.outcomes)
        raise NothingSaid(f"{missing} of {collector.total} tests gave no result: a process died")
    failed = [o.nodeid for o in collector.outcomes if o.status == "failed"]
    for subject in subjects if known else []:
        deviations.check(known, subject.implementation, failed)
    command = f"nox -s conformance -- {shlex.join(given)}".removesuffix(" -- ")
    data = build_report(subjects, collector.outcomes, known, photos, profile, seed, started, command, options.report)
    report.write(data, options.report)
    print_scorecard(data, console)
    if options.declare:
        count = declare(data["implementations"][-1], options.report / "cases", options.declare)
        console.print(f"{options.declare}: {count} deviations, of {subjects[-1].implementation.name}")
    for entry in data["implementations"]:
        if gaps := unjudged(entry, collector.outcomes):
            console.print(Text(f"{entry['name']}: nothing judged {', '.join(gaps)}; {_GAP[profile == 'quick']}"))
    written = ", ".join(str(options.report / name) for name in (report_folder.PAGE, report_folder.REPORT))
    console.print(Text(f"{written} and summary.md written, {time.time() - started:.0f} s"))
    return 0 if data["verdict"] == "conforms" else 1


def _photos(options: argparse.Namespace, subjects: list[Subject], console: Console) -> dict[str, Any] | None:
    if options.quick:
        console.print("photos: left out of a quick run")
        return None
    from plumbline.photo_towers import run_towers
    from plumbline.photos import PhotoError, run_photos
    from plumbline.resolve import resolve

    judged = subjects if subjects[0].spec == "reference" else [resolve("reference"), *subjects]
    try:
        found = run_photos(options.images, judged, console.print, processes=not options.inproc)
        found["towers"] = run_towers(options.images, judged, console.print)
    except PhotoError as error:
        raise NothingSaid(f"photos: {error}") from error
    return found


def _suite(
    options: argparse.Namespace,
    known: Sequence[Deviation],
    profile: str,
    seed: int,
    console: Console,
) -> Collector:
    specs = _specs(options)
    marks = "(requirement or workloads)" + (" and not slow" if options.quick else "")
    flags = ["--subjects-only", "-m", marks, "--profile", profile, "--plumbline-seed", str(seed)]
    flags += [f"--impl={spec}" for spec in specs] + [f"--replace={r}" for r in options.replace]
    flags += ["--cases", str(options.cases)] if options.cases else []
    flags += [f"--known={d.requirement}" for d in known]
    flags += ["-n", "0", "-s"] if options.inproc else ["-n", str(options.workers)]
    cases = (options.cases or PROFILES[profile].cases) * shards_for(profile, len(specs)) * len(specs)
    console.print(f"suite: {cases} generated workloads and the direct tests")
    with Ticker(console) as ticker:
        return run_suite(flags, ticker.done, quiet=not options.inproc)


if __name__ == "__main__":
    raise SystemExit(main())
