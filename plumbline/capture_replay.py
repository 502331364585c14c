"""Replays a captured trace: what it shows of the live engine, and what an implementation makes of the same traffic.

    python -m plumbline.capture_replay TRACE [--impl SPEC] [--replace PART=SPEC] [--save CASE]

Exit status: 0 nothing is broken, live or here; 1 something is; 2 the trace cannot be read.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from plumbline.capture import Capture
from plumbline.capture_file import Cache, Encoded, Recording, Request, Step, read_trace
from plumbline.capture_judge import Finding, TraceJudge
from plumbline.capture_scenario import PATCHES, Replay, scenario_of
from plumbline.capture_wrap import captured
from plumbline.explore import check, unwatched
from plumbline.interface import Implementation, PlumblineError
from plumbline.replay import broken_by, save
from plumbline.requirements import requirements
from plumbline.resolve import SpecError, resolve

SHOWN = 5
"""Findings of one requirement."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s replay --", description="Replays a captured trace of live traffic.")
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a file of plumbline.capture, or a folder of them")
    parser.add_argument("--impl", metavar="SPEC", default="optimized", help="module:attribute or file.py:attribute")
    parser.add_argument(
        "--replace", metavar="PART=SPEC", action="append", default=[], help="replace one part of --impl"
    )
    parser.add_argument(
        "--patches", type=int, metavar="N", default=PATCHES, help="replay up to so many, of distinct items"
    )
    parser.add_argument(
        "--save", type=Path, metavar="CASE", help="also write a case for nox -s conformance -- --replay"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = arguments(argv)
    console = Console(file=sys.__stdout__, highlight=False, markup=False, soft_wrap=True)
    import torch

    torch.set_num_threads(1)
    try:
        implementation = resolve(options.impl, options.replace).implementation
        recording = read_trace(options.trace)
        replay = scenario_of(recording, options.patches)
    except (SpecError, PlumblineError) as error:
        console.print(str(error))
        return 2
    console.print(f"{options.trace}: {recording.engine.name}, {counted(recording)}")
    for note in replay.notes:
        console.print(f"  {note}")
    if options.save:
        save(options.save, replay.scenario, "", f"captured in {options.trace}")
    live = TraceJudge(recording).go()
    _print_live(live, console)
    return 1 if _replay(replay, implementation, console) or live else 0


def counted(recording: Recording) -> str:
    """What happened in a trace, in one line."""
    events = [event for _, event in recording.events]
    outcomes = [o for chunks in recording.outcomes().values() for o in chunks]
    cache = Counter(event.what for event in events if isinstance(event, Cache))
    parts = {
        "requests": sum(isinstance(event, Request) for event in events),
        "steps": sum(isinstance(event, Step) for event in events),
        "chunks": len(outcomes),
        "of them failed": sum(isinstance(o, str) for o in outcomes),
        "items encoded": sum(len(event.items) for event in events if isinstance(event, Encoded)),
        "hits": cache["hit"],
        "misses": cache["miss"],
    }
    return ", ".join(f"{n} {what}" for what, n in parts.items())


def _print_live(findings: Sequence[Finding], console: Console) -> None:
    console.print("the live engine, from the trace alone:")
    by_requirement: dict[str, list[Finding]] = {}
    for finding in findings:
        by_requirement.setdefault(finding.requirement, []).append(finding)
    for name, found in by_requirement.items():
        _print_requirement(name, console)
        for finding in found[:SHOWN]:
            console.print(f"    {finding.where}: {finding.message}")
        if len(found) > SHOWN:
            console.print(f"    and {len(found) - SHOWN} more")
    if not findings:
        console.print("  shows nothing broken")


def _print_requirement(name: str, console: Console) -> None:
    requirement = requirements()[name]
    whom = f" (who claims {requirement.needs})" if requirement.needs else ""
    console.print(f"  {name}{whom} {requirement.text}")


def _replay(replay: Replay, implementation: Implementation, console: Console) -> bool:
    """Whether the implementation breaks anything."""
    console.print(f"replayed through {implementation.name}:")
    with tempfile.TemporaryDirectory() as folder, unwatched(True):
        capture = Capture(folder, limit=1 << 40)
        _, verdicts = check(replay.scenario, captured(implementation, capture))
        capture.close()
        console.print(f"  {counted(read_trace(Path(folder)))}")
        broken = broken_by(replay.scenario, implementation) if verdicts.violations else {}
    for name, message in broken.items():
        _print_requirement(name, console)
        console.print(f"    {message}")
    if not broken:
        console.print("  holds: the same traffic breaks no requirement here")
    return bool(broken)


if __name__ == "__main__":
    raise SystemExit(main())
