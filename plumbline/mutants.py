"""Runs the suite against every mutant: broken implementations that document real bugs, each over a correct parent.

    python -m plumbline.mutants [NAME ...] [--whole] [--workers N] [--seed N]

A mutant file has ``BUG``, ``PARENT``, ``ACCEPT`` (requirement ids whose violation the bug is) and ``implementation``.
A mutant's run ends once an acceptable id has killed it; with --whole it goes on, to see what else does: that is the kill matrix.
Exit status 1 if a parent fails, a mutant survives or dies by other ids only, or, with --whole, a MUST kills no mutant.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from plumbline.requirements import ROOT, requirements

if TYPE_CHECKING:
    from plumbline.suite import Outcome

FOLDER = ROOT / "mutants"
SECONDS = 240
"""For one mutant; beyond it counts as a timeout, not as a kill."""

WITHOUT_MUTANT = {
    "NUM-001": "about towers: tests/numerics lower the row floor and see the bits differ",
    "NUM-002": "about towers: tests/numerics break plain ones, by windows, axes, time or pooling, and see the bound passed",
    "NUM-003": "about towers: tests/numerics break plain ones, by windows, axes, time or pooling, and see the bound passed",
    "NUM-004": "about certificates: tests/numerics change each field and see the certificate refused",
    "POOL-018": "about killed processes: tests/transport/test_processes.py starts an engine again after SIGKILL",
}
"""MUSTs that no implementation's mutant can break; each has its own broken example where it says."""

WORK = {
    "ENC-002",
    "ENC-003",
    "ENC-007",
    "CHUNK-003",
    "CACHE-008",
    "MOVE-001",
    "MOVE-002",
    "MOVE-003",
    "PREP-011",
    "WORK-001",
    "WORK-002",
    "WORK-003",
    "WORK-004",
}
ASSERTIONS = ("AssertionError", "assert", "Failed")
"""How the message of a test begins that failed by its own judgement and not by an exception."""

BALANCE = {"CACHE-003", "CACHE-004", "CACHE-009", "CACHE-012", "LIFE-010", "LIFE-013"}


@dataclass
class Result:
    """What one mutant did. kind: of the verdict that killed it; "error" and "timeout" are not kills."""

    mutant: str
    bug: str
    parent: str
    accept: list[str]
    killed_by: list[str] = field(default_factory=list)
    kind: str = ""
    seconds_to_first_failure: float | None = None
    seconds: float = 0.0
    error: str = ""

    @property
    def killed(self) -> bool:
        return bool(set(self.killed_by) & set(self.accept)) and not self.error

    @property
    def cell(self) -> str:
        if self.error:
            return "error"
        if not self.parent:
            return "FAILS" if self.killed_by else "passes"
        return "killed" if self.killed else "other ids" if self.killed_by else "SURVIVED"


def run_one(spec: str, seed: int, whole: bool = True) -> Result:
    """The suite against one spec, in this process. whole: goes on after the first acceptable kill."""
    import torch

    from plumbline.resolve import load
    from plumbline.suite import run_suite

    torch.set_num_threads(1)
    mutant = spec.endswith(".py")
    accept = list(load(spec, "ACCEPT")) if mutant else []
    result = Result(
        Path(spec).stem, load(spec, "BUG") if mutant else "", load(spec, "PARENT") if mutant else "", accept
    )
    began = time.perf_counter()

    def done(outcome: Outcome, count: int, total: int) -> bool:
        if outcome.status != "failed":
            return False
        if result.seconds_to_first_failure is None:
            first = outcome.exploration["first_failure"] if outcome.exploration else None
            at = time.perf_counter() - began
            result.seconds_to_first_failure = round(at - outcome.seconds + first if isinstance(first, float) else at, 2)
        return not whole and bool(killers_of(outcome) & set(accept))

    flags = ["--impl", spec, "--subjects-only", "--profile", "mutant", "--plumbline-seed", str(seed), "-p", "no:xdist"]
    collector = run_suite([*flags, "-m", "requirement or workloads"], done, first=frozenset(accept))
    killers: set[str] = set()
    crashed = False
    for outcome in collector.outcomes:
        if outcome.status == "failed":
            found: Any = outcome.exploration["findings"] if outcome.exploration else []
            killers |= killers_of(outcome)
            crashed |= (
                all("raised" in f["message"] for f in found) if found else not outcome.message.startswith(ASSERTIONS)
            )
    result.killed_by = sorted(killers)
    result.kind = _kind(set(result.killed_by) & set(accept) or killers, crashed)
    result.error = "; ".join(collector.errors)[:500]
    result.seconds = round(time.perf_counter() - began, 1)
    return result


def killers_of(outcome: Outcome) -> set[str]:
    """The requirements that a failed test counts for."""
    if outcome.exploration:
        findings: Any = outcome.exploration["findings"]
        return {finding["requirement"] for finding in findings}
    return set(outcome.broken if outcome.judges else outcome.broken or outcome.requirements)


def _kind(ids: set[str], crashed: bool) -> str:
    if not ids:
        return ""
    if ids & WORK:
        return "work"
    if ids & BALANCE:
        return "balance"
    if any(i.startswith(("LIFE", "EPOCH")) for i in ids):
        return "lifetime"
    if any(requirements()[i].section in ("Preparation", "Isolation and security") for i in ids):
        return "error contract"
    return "crash" if crashed else "value"


def run_all(specs: Sequence[str], seed: int, workers: int, console: Console, whole: bool = True) -> list[Result]:
    """Every spec in a process of its own, ``workers`` at a time; progress as they end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["plumbline.explore", "plumbline.suite", "plumbline.resolve"])
    results = []
    with context.Pool(workers, maxtasksperchild=1) as pool:
        began = time.perf_counter()
        running = [(spec, pool.apply_async(run_one, (spec, seed, whole))) for spec in specs]
        for count, (spec, pending) in enumerate(running, 1):
            try:
                result = pending.get(timeout=SECONDS + 60 * len(specs) / workers)
            except Exception as error:  # a mutant may do anything, to its process too
                result = Result(Path(spec).stem, "", "", [], error=f"{type(error).__name__}: {error}")
            results.append(result)
            first = f"{result.seconds_to_first_failure:.1f} s" if result.seconds_to_first_failure is not None else ""
            shown = ", ".join(result.killed_by[:6]) + (" ..." if len(result.killed_by) > 6 else "")
            at = f"[dim]{time.perf_counter() - began:5.0f} s {count}/{len(specs)}[/]"
            console.print(f"{at} {result.cell:9s} {result.mutant}  {first}  {shown}")
    return results


def uncovered(results: Sequence[Result]) -> list[str]:
    """MUSTs with tests that no mutant is killed by."""
    killing = {i for r in results if not r.error for i in r.killed_by}
    active = [r.id for r in requirements().values() if r.level == "MUST" and not r.planned]
    return [i for i in active if i not in killing and i not in WITHOUT_MUTANT]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nox -s mutants --")
    parser.add_argument("names", nargs="*", help="files in mutants/, without .py (default: all)")
    parser.add_argument("--whole", action="store_true", help="every test for every mutant: the kill matrix, in hours")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--report", type=Path, default=Path("report"))
    options = parser.parse_args(argv)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    console = Console(file=sys.__stdout__, highlight=False)
    files = sorted(FOLDER.glob("*.py"))
    if options.names:
        files = [f for f in files if f.stem in options.names]
    os.chdir(ROOT)
    console.print(f"{len(files)} mutants, seed {seed}; their parents first")
    parents = run_all(["reference", "optimized"], seed, options.workers, console)
    results = run_all([str(f.relative_to(ROOT)) for f in files], seed, options.workers, console, options.whole)
    write(results, parents, seed, options.report, options.whole)
    bad_parents = [r.mutant for r in parents if r.killed_by or r.error]
    alive = [r for r in results if not r.killed]
    for r in alive:
        console.print(
            f"[red]{r.cell}[/] {r.mutant}: accepts {', '.join(r.accept)}; got {', '.join(r.killed_by) or r.error or 'nothing'}"
        )
    missing = uncovered(results) if options.whole and not options.names else []
    if missing:
        console.print(f"[red]kill no mutant:[/] {', '.join(missing)}")
    if bad_parents:
        console.print(f"[red]parents fail:[/] {', '.join(bad_parents)}")
    console.print(
        f"{len(results) - len(alive)} of {len(results)} mutants killed by an acceptable id; {options.report}/mutants.json"
    )
    return 1 if alive or missing or bad_parents or not results else 0


def write(results: Sequence[Result], parents: Sequence[Result], seed: int, folder: Path, whole: bool) -> None:
    """mutants.json: each result, and the matrix of mutants by the requirements that killed them, complete if ``whole``."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "seed": seed,
        "whole": whole,
        "parents": [asdict(r) for r in parents],
        "mutants": [asdict(r) | {"killed": r.killed} for r in results],
        "matrix": {r.mutant: r.killed_by for r in results},
        "without_mutant": WITHOUT_MUTANT,
        "uncovered": uncovered(results),
    }
    (folder / "mutants.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
