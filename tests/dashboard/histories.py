"""Synthetic histories: records as the benchmarks write them, with steps, spikes, several machines and many runs.

Every figure here is drawn, not measured: these files show what the dashboard does, and never how fast anything is.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

CPU = {"python": "3.11.7", "torch": "2.13.0+cpu", "platform": "Linux x86_64", "cpu": "Intel(R) Xeon(R) Processor"}
MACHINES: dict[str, dict[str, Any]] = {
    "cpu": CPU | {"cores": 2, "gpu": None},
    "h200": CPU | {"cores": 64, "gpu": "NVIDIA H200", "driver": "580.159.04", "torch": "2.11.0+cu130"},
}


@dataclass(frozen=True)
class Line:
    """One series to draw. steps: from that run on, times that factor. spikes: runs that somebody disturbed.
    counters: name to (count before, run of change, count from then on). ceiling: seconds."""

    benchmark: str
    implementation: str = "optimized"
    seconds: float = 1e-3
    machine: str = "cpu"
    noise: float = 0.01
    steps: dict[int, float] = field(default_factory=dict)
    spikes: dict[int, float] = field(default_factory=dict)
    ratio: float | None = None
    counters: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    ceiling: float | None = None
    verdict: str = "held"

    def at(self, run: int) -> float:
        factor = self.spikes.get(run, 1.0)
        for start, times in self.steps.items():
            factor *= times if run >= start else 1.0
        return self.seconds * factor


def lines(series: int = 60) -> list[Line]:
    """As many as asked for: a few that tell a story, and quiet ones on two machines."""
    told = [
        Line("identify/36 MiB", machine="h200", seconds=118e-6, steps={180: 1.31}, ratio=0.42, ceiling=72e-6),
        Line("transport/32 items", seconds=2.1e-3, steps={60: 0.7, 150: 1.12}, ratio=0.31, spikes={80: 3.0}),
        Line("embed/64 requests", seconds=4.4e-3, steps={120: 0.62}, ratio=0.55, counters={"tower calls": (4, 190, 6)}),
        Line("encode/32 x 256 patches", machine="h200", seconds=15e-3, steps={40: 0.9}, ratio=0.061, ceiling=11.3e-3),
        Line("merge/8 chunks", seconds=310e-6, noise=0.05, verdict="deviation", ratio=1.18),
    ]
    parts = ["identify", "prepare", "transport", "encode", "embed", "merge"]
    quiet = [
        Line(
            f"{parts[k % len(parts)]}/workload {k}",
            implementation=["optimized", "reference", "sglang"][k % 3],
            machine=["cpu", "h200"][k % 2],
            seconds=10 ** (-5 + k % 4),
            noise=0.004 * (1 + k % 5),
            ratio=None if k % 3 == 1 else 0.2 + (k % 9) / 8,
        )
        for k in range(max(0, series - len(told)))
    ]
    return (told + quiet)[:series]


def record(run: int, drawn: Sequence[Line], seed: int = 0, withheld: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    """pytest-benchmark's JSON of one run of one machine: all lines must be of it."""
    random_ = random.Random(f"{seed} {run} {drawn[0].machine if drawn else ''}")
    when = datetime(2026, 3, 1, 9, tzinfo=UTC) + timedelta(hours=11 * run)
    machine = MACHINES[drawn[0].machine if drawn else "cpu"]
    return {
        "machine_info": {"plumbline": machine},
        "commit_info": {"id": f"{random.Random(run).getrandbits(160):040x}", "dirty": False, "time": when.isoformat()},
        "benchmarks": [_entry(line, run, random_) for line in drawn],
        "datetime": when.isoformat(),
        "version": "5.2.0",
        "plumbline": {"schema": 1, "profile": "full", "withheld": list(withheld)},
    }


def _entry(line: Line, run: int, random_: random.Random) -> dict[str, Any]:
    drift = random_.gauss(1, line.noise / 2)
    samples = [line.at(run) * drift * abs(random_.gauss(1, line.noise)) for _ in range(9)]
    low, _, high = statistics.quantiles(samples, n=4)
    extra: dict[str, Any] = {
        "benchmark": line.benchmark,
        "implementation": line.implementation,
        "version": "0.1.0",
        "device": "cpu" if line.machine == "cpu" else "cuda",
        "processes": [len(samples)],
        "round_of": 1,
        "baseline": "reference" if line.ratio else "",
        "verdict": line.verdict,
        "counters": {name: before if run < start else after for name, (before, start, after) in line.counters.items()},
    }
    if line.ratio:
        middle = line.ratio * statistics.median(samples) / line.seconds
        extra["ratio"] = [middle, middle * (1 - line.noise), middle * (1 + line.noise)]
    if line.ceiling:
        extra["ceiling"] = {"seconds": line.ceiling, "of": "a bare copy"}
    return {
        "name": line.benchmark,
        "fullname": f"{line.benchmark}[{line.implementation}]",
        "stats": {"data": samples, "median": statistics.median(samples), "q1": low, "q3": high},
        "extra_info": extra,
    }


def write(folder: Path, runs: int = 200, series: int = 60, seed: int = 0) -> list[Path]:
    """A file for each run and machine, named as the benchmarks name theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn, written = lines(series), []
    for run in range(runs):
        for machine in MACHINES:
            here = [line for line in drawn if line.machine == machine]
            if not here:
                continue
            data = record(run, here, seed)
            path = folder / f"{data['datetime'][:10]}-{run:03d}-{data['commit_info']['id'][:7]}-{machine}-speed.json"
            path.write_text(json.dumps(data))
            written.append(path)
    return written
