"""What a folder of records says over time: benchmarks/history, one file for each run, CPU and GPU.

history = read_all(Path("benchmarks/history"))
for one in series(history.records): one.key, [point.median for point in one.points]
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from plumbline.speed import imports
from plumbline.speed.record import Ceiling, Key, Measurement, Ratio, Record, RecordError, read

OTHERS = {
    "conformance report": {"suite", "requirements"},
    "mutants": {"mutants", "matrix"},
    "mutation score": {"mutants", "score"},
    "soak": {"fenced", "killed_workers"},
    "calibration of comparisons": {"full", "seconds", "rows"},
    "sensitivity of comparisons": {"shares", "sizes"},
    "variants of the hash's kernel": {"variants", "calls"},
    "fuzzing": {"seed", "longest", "versions"},
}
"""Results that are kept beside records and measure no series, by what they hold."""


class BaseNotFound(LookupError):
    """No record answers to a base. The message lists those that there are."""


@dataclass(frozen=True)
class Other:
    """A file without a record. kind: what it is, known; or "", and error says why it could not be read."""

    name: str
    kind: str = ""
    error: str = ""


@dataclass(frozen=True)
class History:
    """records: oldest first."""

    records: tuple[Record, ...]
    others: tuple[Other, ...]

    @property
    def errors(self) -> tuple[Other, ...]:
        return tuple(other for other in self.others if other.error)


@dataclass(frozen=True)
class Point:
    """One record's share of a series. record: its file's name. median, low, high: seconds; low and high are the quartiles.

    ratio: over the time of ``baseline``, which was measured in turns with it.
    """

    record: str
    commit: str
    when: str
    profile: str
    version: str
    median: float
    low: float
    high: float
    baseline: str
    ratio: Ratio | None
    counters: Mapping[str, int]
    verdict: str
    ceiling: Ceiling | None


@dataclass(frozen=True)
class Series:
    """points: oldest first, all of them; two records of one commit are two points."""

    key: Key
    points: tuple[Point, ...]


def read_all(folder: Path) -> History:
    """Every file in the folder, as a record or among the others. Raises NotADirectoryError where there is no folder."""
    records, others = [], []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        found = _read(path)
        if isinstance(found, Record):
            records.append(found)
        else:
            others.append(found)
    return History(tuple(sorted(records, key=_age)), tuple(others))


def series(records: Iterable[Record]) -> list[Series]:
    """By key, sorted. records: oldest first."""
    found: dict[Key, list[Point]] = {}
    for record in records:
        for measurement in record.measurements:
            found.setdefault(measurement.key, []).append(_point(record, measurement))
    return [Series(key, tuple(points)) for key, points in sorted(found.items())]


def find(folder: Path, base: str, hardware: str, implementation: str) -> Record:
    """The record to compare with: base is a file, or the start of a commit, or "last".

    The latter two are looked for in the folder, among the records of this implementation on this hardware, as in a key; of a
    commit's records, the newest is taken. Raises BaseNotFound, and RecordError for a file that is no record.
    """
    for path in (Path(base), folder / base):
        if path.is_file():
            return imports.read(path)
    wanted = (implementation, hardware)
    ours = [r for r in _ours(folder) if any((m.key.implementation, m.key.hardware) == wanted for m in r.measurements)]
    fitting = [r for r in ours if base == "last" or _is_of(r, base)]
    if not fitting:
        raise BaseNotFound(_nothing(folder, base, f"{implementation} on {hardware}", ours))
    commits = {r.commit.rstrip("+") for r in fitting}
    if base != "last" and len(commits) > 1:
        raise BaseNotFound(f"{base} is the start of several commits that have records: {', '.join(sorted(commits))}")
    return fitting[-1]


def _read(path: Path) -> Record | Other:
    if path.suffix != ".json":
        return Other(path.name, kind="text")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Other(path.name, error=f"not readable as JSON: {error}")
    for kind, marks in OTHERS.items():
        if isinstance(data, dict) and marks <= data.keys():
            return Other(path.name, kind=kind)
    try:
        return imports.from_data(data, path.name)
    except RecordError as error:
        return Other(path.name, error=str(error))


def _ours(folder: Path) -> list[Record]:
    """What nox -s bench wrote, oldest first: nothing else has the same benchmarks."""
    found = []
    for path in folder.glob("*.json"):
        try:
            found.append(read(path))
        except RecordError:
            continue  # read_all tells of such files
    return sorted((r for r in found if r.profile), key=_age)


def _is_of(record: Record, base: str) -> bool:
    """base may be longer than the abbreviated commit."""
    commit = record.commit.rstrip("+")
    return bool(commit and base) and (commit.startswith(base) or base.startswith(commit))


def _nothing(folder: Path, base: str, whose: str, ours: list[Record]) -> str:
    known = "; ".join(f"{r.commit or 'no commit'} of {r.when} ({r.name})" for r in reversed(ours))
    there = f"There are: {known}" if known else "There are none of that hardware yet: nox -s bench -- --keep writes one"
    return f"no record is {base!r}: neither a file, nor a commit with a record of {whose} in {folder}. {there}"


def _age(record: Record) -> tuple[datetime, str]:
    """Without a zone, UTC; without a date, before all others."""
    try:
        when = datetime.fromisoformat(record.when)
    except ValueError:
        when = datetime.min
    return (when if when.tzinfo else when.replace(tzinfo=UTC)), record.name


def _point(record: Record, measurement: Measurement) -> Point:
    samples = measurement.samples
    quartiles = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else [samples[0]] * 3
    return Point(
        record=record.name,
        commit=record.commit,
        when=record.when,
        profile=record.profile,
        version=measurement.version,
        median=measurement.median,
        low=quartiles[0],
        high=quartiles[2],
        baseline=measurement.baseline,
        ratio=measurement.ratio,
        counters=measurement.counters,
        verdict=measurement.verdict,
        ceiling=measurement.ceiling,
    )
