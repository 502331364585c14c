"""Runs the benchmarks in several fresh processes, one after the other, and joins what they measured into one record.

Processes differ in what lies where in memory, which moves some benchmarks by a percent or two for as long as a process lives. So
one process is one sample of that, however many rounds it has.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from pytest_benchmark.stats import Stats

from plumbline.requirements import ROOT
from plumbline.speed.process import MARK
from plumbline.speed.record import SCHEMA
from plumbline.speed.verdicts import judged_as

RESAMPLES = 2000
Json = dict[str, Any]


class MeasureError(Exception):
    """Benchmarks that could not run at all. The message says why."""


@dataclass(frozen=True)
class Side:
    """What is measured: arguments of pytest, with the files to run, in a checkout of Plumbline."""

    arguments: Sequence[str]
    checkout: Path = ROOT


def measure(arguments: Sequence[str], processes: int, done: Callable[[str, int, int], object]) -> Json:
    """pytest-benchmark's JSON of all processes together. Raises MeasureError.

    done: called with a benchmark's name, how many have ended, and how many there are. What an implementation could not do stands
    under plumbline.withheld.
    """
    return measure_in_turns([Side(arguments)], processes, done)[0]


def measure_in_turns(sides: Sequence[Side], processes: int, done: Callable[[str, int, int], object]) -> list[Json]:
    """The same of each side. Their processes run in turns, A B B A, so that the machine's mood is that of all."""
    samples = [_Samples(side) for side in sides]
    turns = [(n, sample) for n in range(processes) for sample in (samples[::-1] if n % 2 else samples)]
    for ended, (number, sample) in enumerate(turns):
        sample.add(number, partial(_count, done, ended, len(turns)))
    return [sample.together() for sample in samples]


def _count(done: Callable[[str, int, int], object], ended: int, processes: int, name: str, k: int, total: int) -> None:
    """Passes on the k-th benchmark of a process, after others have ended."""
    done(name, ended * total + k, processes * total)


class _Samples:
    """What the processes of one side measured."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.began = time.time()
        self.records: list[Json] = []
        self.withheld: dict[str, Json] = {}

    def add(self, number: int, done: Callable[[str, int, int], object]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "samples.json")
            given = [*self.side.arguments, f"--benchmark-json={path}"]
            given += (["--times-only"] if number else []) + (["--reversed"] if number % 2 else [])
            for one in _follow(Side(given, self.side.checkout), number, done):
                if one["outcome"] == "failed":
                    name = one["benchmark"]
                    self.withheld[name] = {"benchmark": name, "implementation": "", "reason": one["message"]}
            if path.is_file() and path.stat().st_size:
                self.records.append(json.loads(path.read_text()))

    def together(self) -> Json:
        if not self.records:
            if self.withheld:
                words = "\n".join(str(w["reason"]) for w in self.withheld.values())
                raise MeasureError(f"no benchmark of {self.side.checkout} gave a time:\n{words}")
            raise MeasureError("no benchmark was run; see --only")
        data = self.records[0]
        entries = _joined(self.records)
        data["benchmarks"] = [b for b in entries if b["extra_info"]["benchmark"] not in self.withheld]
        data["datetime"] = datetime.fromtimestamp(self.began, UTC).isoformat(timespec="seconds")
        data["plumbline"] = {
            "schema": SCHEMA,
            "seconds": round(time.time() - self.began, 1),
            "withheld": list(self.withheld.values()),
        }
        return data


def _follow(side: Side, number: int, done: Callable[[str, int, int], object]) -> list[Json]:
    """Runs one process, and gives what it said of each benchmark."""
    command = [sys.executable, "-m", "plumbline.speed.process", *side.arguments]
    said: list[Json] = []
    total, broken, begun = 0, "", "the first benchmark"
    with (
        tempfile.TemporaryFile("w+") as errors,
        # Python looks into the current folder first, and so takes this checkout's modules, not those that are installed.
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=side.checkout) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            if not line.startswith(MARK):
                continue
            what = json.loads(line.removeprefix(MARK))
            total, broken = what.get("total", total), what.get("broken", broken)
            begun = what.get("begins", begun)
            if "benchmark" in what:
                said.append(what)
                done(what["benchmark"], len(said), total)
        process.wait()
        errors.seek(0)
        words = errors.read()[-2000:]
    if broken or (process.returncode not in (0, 1, 5)):
        raise MeasureError(f"process {number + 1} ended with {process.returncode} in {begun}: {broken or words}")
    return said


def _joined(records: Sequence[Json]) -> list[Json]:
    """Each benchmark once, with the samples of all processes."""
    found: dict[str, Json] = {}
    for record in records:
        for entry in record["benchmarks"]:
            data = entry["stats"]["data"]
            known = found.setdefault(entry["fullname"], entry)
            if known is entry:
                entry["extra_info"]["processes"] = [len(data)]
                continue
            known["stats"]["data"] += data
            known["extra_info"]["processes"].append(len(data))
    for entry in found.values():
        stats = Stats()
        for sample in entry["stats"]["data"]:
            stats.update(sample)
        entry["stats"] = {**stats.as_dict(), "iterations": 1, "data": entry["stats"]["data"]}
    for entry in found.values():
        baseline = found.get(f"{entry['group']}[{entry['extra_info']['baseline']}]")
        if baseline is not None:
            entry["extra_info"]["ratio"] = ratio_of(entry, baseline)
    return list(found.values())


def ratio_of(entry: Json, baseline: Json, resamples: int = RESAMPLES) -> tuple[float, float, float]:
    """Median of the rounds' ratios, and the ends of its 95 % interval: processes drawn first, then rounds of each."""
    pairs = zip(entry["stats"]["data"], baseline["stats"]["data"], strict=True)
    every = [a / b for a, b in pairs]
    ratios = [every[lo:hi] for lo, hi in pairwise([0, *accumulate(entry["extra_info"]["processes"])])]
    draw = random.Random(0)
    medians = sorted(
        statistics.median(
            [r for process in draw.choices(ratios, k=len(ratios)) for r in draw.choices(process, k=len(process))]
        )
        for _ in range(resamples)
    )
    return statistics.median(every), medians[resamples * 25 // 1000], medians[resamples * 975 // 1000 - 1]


def withhold(data: Json, broken: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Takes away the times of parts that break a requirement, and says so. broken: by implementation and part, the ids."""
    kept = []
    for entry in data["benchmarks"]:
        name, part = entry["extra_info"]["implementation"], entry["group"].partition("/")[0]
        if ids := broken.get(judged_as(name, broken), {}).get(part, ()):
            reason = f"breaks {', '.join(ids)}"
            data["plumbline"]["withheld"].append(
                {"benchmark": entry["group"], "implementation": name, "reason": reason}
            )
        else:
            kept.append(entry)
    data["benchmarks"] = kept
