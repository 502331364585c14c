"""What is drawn of a history: each series with its levels, what changed in it, and what has no speed."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from plumbline.speed import history
from plumbline.speed.compare import SLACK
from plumbline.speed.history import Point
from plumbline.speed.record import Key, Record, Withheld
from plumbline.speed.steps import Level, Step, levels

RECENT = 5
"""Records of a machine: what none of them measures is of the past. More than one, since a run may leave parts out."""


@dataclass(frozen=True)
class Grown:
    """An exact count that is higher than it was, and since when. runs: how many points of the series have it."""

    name: str
    before: int
    now: int
    since: Point
    runs: int


@dataclass(frozen=True)
class Series:
    """The points of one key, oldest first, at least one. current: one of its machine's last RECENT records has it.
    withheld: why the newest record that names it gives no speed, or "".
    """

    key: Key
    points: tuple[Point, ...]
    current: bool = True
    withheld: str = ""

    @property
    def drawn(self) -> bool:
        """One run shows no course: it stands in the table alone."""
        return len(self.points) > 1

    @property
    def part(self) -> str:
        return self.key.benchmark.partition("/")[0]

    @property
    def last(self) -> Point:
        return self.points[-1]

    @cached_property
    def id(self) -> str:
        """Of its elements on the page: the same for the same key, whatever else the history has."""
        key = self.key
        said = "\0".join((key.benchmark, key.implementation, key.hardware, key.driver, key.torch))
        name = re.sub(r"[^a-z0-9]+", "-", f"{key.benchmark} {key.implementation}".lower()).strip("-")
        return f"s-{name[:48]}-{hashlib.sha256(said.encode()).hexdigest()[:6]}"

    @cached_property
    def levels(self) -> list[Level]:
        """Of medians, in seconds."""
        return levels([p.median for p in self.points])

    @cached_property
    def ratio_levels(self) -> list[Level]:
        """Of ratios; start and stop count the points that have one."""
        return levels([p.ratio.middle for p in self.points if p.ratio])

    @property
    def step(self) -> Step | None:
        """From the level before to the last one: of ratios where every point has one over the same baseline, since what slows
        the machine slows both; else of medians."""
        whole = all(p.ratio for p in self.points) and len({p.baseline for p in self.points}) == 1
        of = self.ratio_levels if whole else self.levels
        return Step(*of[-2:]) if len(of) > 1 else None

    @property
    def moved(self) -> float:
        """How far the last step went, either way; 0 if there is none."""
        return abs(math.log(self.step.factor)) if self.step else 0.0

    @property
    def of_ceiling(self) -> float | None:
        """How many times what the hardware allows."""
        return self.last.median / self.last.ceiling.seconds if self.last.ceiling else None

    @cached_property
    def grown(self) -> list[Grown]:
        """Counters whose last change was upwards. What moves by itself has to have moved further."""
        found = []
        for name, now in self.last.counters.items():
            counts = [p.counters.get(name) for p in self.points]
            slack = SLACK.get(name, 0)
            others = (k for k, count in enumerate(counts) if count is None or abs(count - now) > slack)
            at = max(others, default=-1)
            before = counts[at] if at >= 0 else None
            if before is not None and before < now:
                found.append(Grown(name, before, now, self.points[at + 1], len(counts) - at - 1))
        return found


def gather(records: Sequence[Record]) -> list[Series]:
    """All series, what changed most first; what is no longer measured comes last. records: oldest first."""
    of_machine: dict[str, list[str]] = {}
    for record in records:
        for hardware in {m.key.hardware for m in record.measurements}:
            of_machine.setdefault(hardware, []).append(record.name)
    refused = [w for _, w in without_speed(records)]
    found = [
        Series(
            one.key,
            one.points,
            one.points[-1].record in of_machine[one.key.hardware][-RECENT:],
            next((w.reason for w in refused if w.is_of(one.key)), ""),
        )
        for one in history.series(records)
    ]
    return sorted(found, key=_order)


def _order(series: Series) -> tuple[bool, float, bool, float, Key]:
    """Among what did not change, first what the suite has judged."""
    ratio = series.last.ratio
    slowest = -ratio.middle if ratio else math.inf
    return not series.current, -series.moved, not series.last.verdict, slowest, series.key


def without_speed(records: Sequence[Record]) -> list[tuple[Record, Withheld]]:
    """What the newest record that names it withholds. records: oldest first."""
    last: dict[tuple[str, str, str], tuple[Record, Withheld | None]] = {}
    for record in records:
        for m in record.measurements:
            last |= {(m.key.benchmark, name, m.key.device): (record, None) for name in ("", m.key.implementation)}
        last |= {(w.benchmark, w.implementation, w.device): (record, w) for w in record.withheld}
    return [(record, withheld) for record, withheld in last.values() if withheld]
