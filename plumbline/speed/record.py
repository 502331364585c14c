"""A record: what one run of the benchmarks measured, in pytest-benchmark's JSON.

Plain JSON of pytest-benchmark, from wherever, can be read too: what it does not say is empty. What is ours stands in each
benchmark's ``extra_info`` (``Measurement`` below has the same names) and, about the whole run, under ``plumbline``.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

SCHEMA = 1


class RecordError(ValueError):
    """A file that is no record. The message names the file, the place in it, and what to do."""


@dataclass(frozen=True, order=True)
class Key:
    """What may be compared over time: one benchmark of one implementation on one kind of machine.

    benchmark: "part/workload". hardware: the GPU's name, or the CPU's with its cores. driver: of the GPU, else "".
    """

    benchmark: str
    implementation: str
    hardware: str
    driver: str
    torch: str

    @property
    def device(self) -> str:
        return "cuda" if self.driver else "cpu"


@dataclass(frozen=True)
class Ratio:
    """Of an implementation's time over the baseline's, with its bootstrapped 95 % interval."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Ceiling:
    """What the hardware allows: seconds of one run, and what was measured or computed for it, such as "a bare copy"."""

    seconds: float
    of: str


@dataclass(frozen=True)
class Measurement:
    """One benchmark of one implementation in one record.

    samples: seconds of one run, in the order of measuring, ``round_of`` to a round (ours are means of a round, so that it is 1);
    those of one process follow one another, and processes says how many each has. baseline: whose runs were in turns with
    these, or ""; it has as many, in the same rounds. counters: exact counts of one run (bytes, calls), which do not depend on
    the machine's mood. verdict: what the conformance suite said of this part: "held", "deviation" (of what was declared), or
    "" where nobody asked. ceiling: None where none is known.
    """

    key: Key
    version: str
    samples: tuple[float, ...]
    processes: tuple[int, ...]
    round_of: int = 1
    baseline: str = ""
    ratio: Ratio | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    verdict: str = ""
    ceiling: Ceiling | None = None

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.samples)


@dataclass(frozen=True)
class Withheld:
    """A benchmark without a speed: the implementation breaks these requirements of the part, or raised.

    implementation: "" where all of them lost it, since they are timed together. device: "cpu" or "cuda".
    """

    benchmark: str
    implementation: str
    reason: str
    device: str = "cpu"

    def is_of(self, key: Key) -> bool:
        same = (self.benchmark, self.device) == (key.benchmark, key.device)
        return same and self.implementation in ("", key.implementation)


@dataclass(frozen=True)
class Record:
    """commit: abbreviated, with "+" behind it if files had changed; "" where it is not known. when: ISO 8601. profile: "quick",
    "full", or "" for what others measured."""

    name: str
    commit: str
    when: str
    profile: str
    environment: Mapping[str, Any]
    measurements: tuple[Measurement, ...]
    withheld: tuple[Withheld, ...] = ()

    def baseline_of(self, measurement: Measurement) -> Measurement | None:
        """What was measured in turns with it."""
        key = replace(measurement.key, implementation=measurement.baseline)
        return next((m for m in self.measurements if m.key == key), None)


def read(path: Path) -> Record:
    """Raises RecordError for what is not pytest-benchmark's JSON."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")), path.name)
    except (OSError, ValueError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(
            f"{path}: not readable as JSON ({error}); name a file of pytest-benchmark or of nox -s bench"
        ) from error


def parse(data: Any, name: str) -> Record:
    """name: of the file, for errors and links."""
    if not isinstance(data, dict) or not isinstance(data.get("benchmarks"), list) or "machine_info" not in data:
        raise RecordError(f"{name}: no pytest-benchmark JSON, which has machine_info and a list of benchmarks")
    ours = data.get("plumbline", {})
    if ours and ours.get("schema") != SCHEMA:
        raise RecordError(
            f"{name}: plumbline.schema is {ours.get('schema')!r}, this version reads {SCHEMA}; measure again"
        )
    commit = data.get("commit_info") or {}
    try:
        environment = _environment(data["machine_info"])
        measurements = tuple(_measurement(entry, environment) for entry in data["benchmarks"])
        withheld = tuple(Withheld(**entry) for entry in ours.get("withheld", []))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"{name}: a benchmark lacks or misspells {error}; write it with --benchmark-save-data"
        ) from error
    return Record(
        name=name,
        commit=str(commit.get("id") or "")[:7] + ("+" if commit.get("dirty") else ""),
        when=str(data.get("datetime") or commit.get("time") or ""),
        profile=str(ours.get("profile", "")),
        environment=environment,
        measurements=measurements,
        withheld=withheld,
    )


def _environment(machine: Mapping[str, Any]) -> dict[str, Any]:
    """What a figure depends on: ours, or what pytest-benchmark noted of a machine."""
    if isinstance(machine.get("plumbline"), dict):
        return dict(machine["plumbline"])
    cpu = machine.get("cpu") or {}
    return {
        "python": machine.get("python_version", ""),
        "torch": machine.get("torch", ""),
        "platform": f"{machine.get('system', '')} {machine.get('machine', '')}".strip(),
        "cpu": cpu.get("brand_raw", "") or machine.get("processor", ""),
        "cores": cpu.get("count") or 1,
        "gpu": None,
    }


def hardware(environment: Mapping[str, Any], device: str) -> str:
    """device: "cpu" or "cuda"."""
    if device == "cuda":
        return str(environment["gpu"])
    return f"{environment['cpu']}, {environment['cores']} cores"


def _measurement(entry: Mapping[str, Any], environment: Mapping[str, Any]) -> Measurement:
    extra, stats = entry.get("extra_info") or {}, entry["stats"]
    samples = tuple(float(s) for s in stats.get("data") or [stats["median"]])
    if not all(0 < s < math.inf for s in samples):
        raise ValueError("a time above 0")
    device = str(extra.get("device", "cpu"))
    ratio, ceiling = extra.get("ratio"), extra.get("ceiling")
    return Measurement(
        key=Key(
            benchmark=str(extra["benchmark"] if "benchmark" in extra else entry["fullname"]),
            implementation=str(extra.get("implementation", "")),
            hardware=hardware(environment, device),
            driver=str(environment.get("driver") or "") if device == "cuda" else "",
            torch=str(environment.get("torch", "")),
        ),
        version=str(extra.get("version", "")),
        samples=samples,
        processes=tuple(extra.get("processes", [len(samples)])),
        round_of=int(extra.get("round_of", 1)),
        baseline=str(extra.get("baseline", "")),
        ratio=Ratio(*ratio) if ratio else None,
        counters={str(name): int(count) for name, count in extra.get("counters", {}).items()},
        verdict=str(extra.get("verdict", "")),
        ceiling=Ceiling(float(ceiling["seconds"]), str(ceiling["of"])) if ceiling else None,
    )
