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
from datetime import UTC, datetime
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


def measure(arguments: Sequence[str], processes: int, done: Callable[[str, int, int], object]) -> Json:
    """pytest-benchmark's JSON of all processes together. Raises MeasureError.

    arguments: of pytest, with the files to run. done: called with a benchmark's name, how many have ended, and how many there
    are. What an implementation could not do stands under plumbline.withheld.
    """
    joined: list[Json] = []
    withheld: dict[tuple[str, str], Json] = {}
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(processes):
            path = Path(folder, f"{number}.json")
            given = [*arguments, f"--benchmark-json={path}"]
            given += (["--times-only"] if number else []) + (["--reversed"] if number % 2 else [])
            for said in _follow(given, number, processes, done):
                if said["outcome"] == "failed":
                    withheld[said["benchmark"], ""] = {
                        "benchmark": said["benchmark"],
                        "implementation": "",
                        "reason": said["message"],
                    }
            if path.is_file() and path.stat().st_size:
                joined.append(json.loads(path.read_text()))
    if not joined:
        if withheld:
            raise MeasureError("no benchmark gave a time:\n" + "\n".join(str(w["reason"]) for w in withheld.values()))
        raise MeasureError("no benchmark was run; see --only")
    data = joined[0]
    failed = {name for name, _ in withheld}
    data["benchmarks"] = [b for b in _joined(joined) if b["extra_info"]["benchmark"] not in failed]
    data["datetime"] = datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds")
    data["plumbline"] = {
        "schema": SCHEMA,
        "seconds": round(time.time() - began, 1),
        "withheld": list(withheld.values()),
    }
    return data


def _follow(
    arguments: Sequence[str], number: int, processes: int, done: Callable[[str, int, int], object]
) -> list[Json]:
    """Runs one process, and gives what it said of each benchmark."""
    command = [sys.executable, "-m", "plumbline.speed.process", *arguments]
    said: list[Json] = []
    total, broken, begun = 0, "", "the first benchmark"
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as process,
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
                done(what["benchmark"], number * total + len(said), processes * total)
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
