"""Mutation score of optimized/ and reference/: small changes to their source by Cosmic Ray, and which of them the tests see.

    python -m plumbline.mutation [--sample N] [--seed N] [--only FILE ...] [--without TESTS ...] [--again REPORT]

Each mutant is written into a copy of the repository and meets the tests that execute its line: first those that judge any
implementation, then the project's own, up to the first that fails. A survivor that equivalent_mutants.toml explains
is counted apart. Exit status 1 if the tests fail without a mutant.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_item import MutationSpec
from rich.console import Console

from plumbline.mutation_sites import EXCLUDED, PACKAGES, drawn, sites
from plumbline.mutation_tests import FOLDERS, LEFT_OUT, run_tests
from plumbline.requirements import ROOT

EQUIVALENT = ROOT / "tests/harness/equivalent_mutants.toml"
DEVICES = ("encode.py", "graphs.py", "ranks.py", "staging.py", "towers/", "transport/")
UNSEEN = {
    "tests/sim/test_sim.py": tuple(f"optimized/{name}" for name in DEVICES),
    "tests/transport/test_faults.py": ("optimized/transport/",),
    "tests/transport/test_ends.py": ("optimized/transport/words.py",),
}
"""Tests whose lines coverage does not see, in other processes or under a tracer of their own, and what they are about."""
PATIENCE = 60.0
"""Seconds that a mutant's tests may take beyond three times what they take without it."""


@dataclass(frozen=True)
class Mutant:
    """outcome: killed, timeout, survived or equivalent. killed_by: a test, "import", or empty. judges: whether that test judges
    any implementation, by these requirements. why: of an equivalent one."""

    file: str
    line: int
    operator: str
    occurrence: int
    before: str
    after: str
    outcome: str
    killed_by: str
    judges: bool
    requirements: list[str]
    tests: int
    seconds: float
    why: str = ""


class Selection:
    """Which tests meet a mutant of one package, as measured without mutants. folder: the copy that is mutated. kept: where what
    was measured is kept until a source changes."""

    def __init__(self, folder: Path, package: str, seed: int, kept: Path, without: Sequence[str]) -> None:
        self.plan: dict[str, Any] = {"subject": package, "seed": seed}
        sources = [p.read_bytes() for p in sorted(folder.rglob("*.py")) if not p.stem.startswith("mutation")]
        digest = hashlib.sha256(b"".join(sources)).hexdigest()[:16]
        measured = kept / f"mutation-lines-{package}-{digest}-{seed}.json"
        if not measured.is_file():
            plan = json.dumps(self.plan | {"lines": str(measured)})
            subprocess.run([sys.executable, "-m", "plumbline.mutation_tests", plan], cwd=folder, check=True)
        found = json.loads(measured.read_text())
        self.tests: dict[str, Any] = {
            test: about for test, about in found["tests"].items() if not test.startswith(tuple(without))
        }
        self.at_import: dict[str, list[int]] = found["at_import"]
        self.failed: dict[str, str] = found["failed"]

    def of(self, file: str, line: int) -> list[str]:
        """Judges first, and the quickest module of tests first. A module is taken whole, since its tests share fixtures."""
        everywhere = line in self.at_import.get(file, ())
        modules: dict[tuple[bool, str], list[str]] = {}
        executing: set[str] = set()
        for test, about in self.tests.items():
            name = test.partition("::")[0]
            modules.setdefault((not about["judges"], name), []).append(test)
            lines = about["lines"].get(file, ())
            if line in lines or (everywhere and lines) or file.startswith(UNSEEN.get(name, ())):
                executing.add(name)
        chosen = {key: tests for key, tests in modules.items() if key[1] in executing}
        for tests in chosen.values():
            tests.sort(key=lambda test: (line not in self.tests[test]["lines"].get(file, ()), self.seconds([test])))
        order = sorted(chosen, key=lambda key: (key[0], self.seconds(chosen[key])))
        return [test for key in order for test in chosen[key]]

    def seconds(self, tests: Sequence[str]) -> float:
        return sum(float(self.tests[test]["seconds"]) for test in tests)


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A copy of what git knows or would take, to be changed."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "copy")
        for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        yield folder


class Forks:
    """Runs tests in forks of one process, which has torch and the harness, but no implementation yet."""

    def __init__(self, folder: Path) -> None:
        """folder: the copy, which is the current folder from here on, and what is imported is imported from there."""
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        while str(ROOT) in sys.path:
            sys.path.remove(str(ROOT))
        mine = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", ".", str(ROOT))]
        os.environ |= {
            "PYTHONPATH": os.pathsep.join([str(folder), *mine]),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            ["plumbline.explore", "plumbline.transport_explore", "plumbline.mutation_tests"]
        )

    def run(self, plan: dict[str, Any], limit: float) -> dict[str, Any] | None:
        """What ``run_tests`` says; None if it takes longer than ``limit`` seconds."""
        mine, theirs = self.context.Pipe()
        process = self.context.Process(target=answer, args=(plan, theirs))
        process.start()
        theirs.close()
        try:
            if not mine.poll(limit):
                return None
            said: dict[str, Any] = mine.recv()
            return said
        except EOFError:
            return {"test": "the process died", "requirements": []}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()


def answer(plan: dict[str, Any], connection: Connection) -> None:
    os.setsid()  # so that what it starts ends with it
    loaded = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    assert not loaded, f"{loaded} are loaded before they are mutated"
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    connection.send(run_tests(plan))


def run_one(spec: MutationSpec, selection: Selection, forks: Forks, known: Sequence[dict[str, str]]) -> Mutant:
    """One mutant against its tests."""
    file, line = str(spec.module_path), spec.start_pos[0]
    tests = selection.of(file, line)
    operator = get_operator(spec.operator_name)()
    began = time.perf_counter()
    with use_mutation(spec.module_path, operator, spec.occurrence) as (source, mutated):
        said = forks.run(selection.plan | {"tests": tests}, PATIENCE + 3 * selection.seconds(tests)) if tests else {}
    seconds = round(time.perf_counter() - began, 1)
    changed = [text for text in difflib.ndiff(source.split("\n"), mutated.split("\n")) if text[0] in "+-"]
    before, after = (" ".join(text[2:].strip() for text in changed if text.startswith(sign)) for sign in "-+")
    why = next((k["why"] for k in known if (k["file"], k["before"], k["after"]) == (file, before, after)), "")
    outcome = "timeout" if said is None else "killed" if said else "equivalent" if why else "survived"
    killer = said["test"] if said else ""
    return Mutant(
        file=file,
        line=line,
        operator=spec.operator_name,
        occurrence=spec.occurrence,
        before=before,
        after=after,
        outcome=outcome,
        killed_by=killer,
        judges=bool(selection.tests.get(killer, {}).get("judges")),
        requirements=said["requirements"] if said else [],
        tests=len(tests),
        seconds=seconds,
        why=why if outcome == "equivalent" else "",
    )


def score(mutants: Sequence[Mutant]) -> dict[str, object]:
    """raw: killed or timed out, of all. without_equivalent: of those that are not shown to be equivalent."""
    counts = {name: sum(m.outcome == name for m in mutants) for name in ("killed", "timeout", "survived", "equivalent")}
    gone = counts["killed"] + counts["timeout"]
    judged = sum(m.outcome == "killed" and m.judges for m in mutants)
    rest = len(mutants) - counts["equivalent"]
    return {
        "mutants": len(mutants),
        **counts,
        "killed_by_judges": judged,
        "raw": round(gone / len(mutants), 4) if mutants else None,
        "without_equivalent": round(gone / rest, 4) if rest else None,
    }


def identity(mutant: Mutant) -> tuple[str, str, int]:
    return mutant.file, mutant.operator, mutant.occurrence


def report(mutants: Sequence[Mutant], seed: int, places: int, left_out: Sequence[str]) -> dict[str, object]:
    names = sorted({m.file for m in mutants})
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "tool": f"cosmic-ray {version('cosmic-ray')}",
        "commit": commit.stdout.strip(),
        "machine": f"{os.cpu_count()} cores, {os.uname().machine}, Python {sys.version.split()[0]}",
        "seed": seed,
        "places": places,
        "excluded": EXCLUDED,
        "tests": {"folders": FOLDERS, "left_out": left_out},
        "score": {package: score([m for m in mutants if m.file.startswith(f"{package}/")]) for package in PACKAGES},
        "files": {name: score([m for m in mutants if m.file == name]) for name in names},
        "mutants": [asdict(m) for m in mutants],
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nox -s mutation --")
    parser.add_argument(
        "--sample", type=int, default=180, metavar="N", help="mutants of optimized, and a third of reference"
    )
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", default=[], metavar="FILE", help="mutants of this file alone")
    parser.add_argument(
        "--without", action="append", default=[], metavar="TESTS", help="a module of tests to leave out"
    )
    parser.add_argument("--again", type=Path, metavar="REPORT", help="take over what was killed in this mutation.json")
    parser.add_argument("--report", type=Path, default=Path("report"))
    options = parser.parse_args(argv)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    console = Console(file=sys.__stdout__, highlight=False, soft_wrap=True)
    known = tomllib.loads(EQUIVALENT.read_text()).get("mutant", [])
    target = ROOT / options.report / "mutation.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    places = [place for place in sites() if not options.only or place.file in options.only]
    specs: list[MutationSpec] = []
    for package, count in zip(PACKAGES, (options.sample, options.sample // 3), strict=True):
        specs += drawn([place for place in places if place.file.startswith(f"{package}/")], count, seed)
    console.print(
        f"{len(specs)} mutants of {len(places)} places, seed {seed}; of each package the tests without mutants first"
    )
    before = json.loads(options.again.read_text())["mutants"] if options.again else []
    done = {identity(m): m for m in (Mutant(**m) for m in before) if m.outcome in ("killed", "timeout")}
    mutants: list[Mutant] = []
    with copied() as folder:
        forks = Forks(folder)
        for package in PACKAGES:
            mine = [spec for spec in specs if spec.module_path.parts[0] == package]
            if not mine:
                continue
            selection = Selection(folder, package, seed, target.parent, options.without)
            if selection.failed or not selection.tests:
                console.print(f"[red]without a mutant, tests of {package} fail:[/] {selection.failed}")
                return 1
            began = time.perf_counter()
            for count, spec in enumerate(mine, 1):
                key = str(spec.module_path), spec.operator_name, spec.occurrence
                mutants.append(done.get(key) or run_one(spec, selection, forks, known))
                left_out = [*LEFT_OUT, *options.without]
                target.write_text(json.dumps(report(mutants, seed, len(places), left_out), indent=1) + "\n")
                left = (time.perf_counter() - began) / count * (len(mine) - count) / 60
                console.print(f"[dim]{package} {count}/{len(mine)}, {left:.0f} min left[/] {line_of(mutants[-1])}")
    os.chdir(ROOT)
    show(mutants, console)
    console.print(f"report: {target}")
    return 0


def line_of(mutant: Mutant) -> str:
    by = f"{mutant.killed_by.rpartition('/')[2]} {' '.join(mutant.requirements[:3])}".replace("[", "\\[")
    place = f"{mutant.file}:{mutant.line} {mutant.operator.removeprefix('core/')}"
    return f"{mutant.outcome:10s} {mutant.seconds:5.1f} s {place}  {by}"


def show(mutants: Sequence[Mutant], console: Console) -> None:
    for name in [*sorted({m.file for m in mutants}), *PACKAGES]:
        of = score([m for m in mutants if m.file == name or m.file.startswith(f"{name}/")])
        if of["mutants"]:
            gone = f"killed {of['killed']} ({of['killed_by_judges']} by judges), timeout {of['timeout']}"
            rest = f"survived {of['survived']}, equivalent {of['equivalent']}"
            console.print(
                f"{name}: {of['raw']:.0%}, {of['without_equivalent'] or 0:.0%} without equivalent; {gone}, {rest}"
            )
    for m in mutants:
        if m.outcome == "survived":
            console.print(f"survived {m.file}:{m.line}\n  - {m.before}\n  + {m.after}", markup=False)


if __name__ == "__main__":
    raise SystemExit(main())
