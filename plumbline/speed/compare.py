"""Whether a record is slower than another: a verdict for each series, and for each exact counter.

for change in compare(base, new): print(change)      # change.fails: it got worse
settle(changes, again)                               # after again() measured what is suspected, the base's code too

A series fails where even the low end of its change's interval is above the threshold, and the change is more than chance gives
the worst of so many series. What is above the threshold by its middle alone is ``suspected``: measured again, in turns with the
base's code, and that alone decides. Where the base's code is not at hand, both runs of the new code decide together, and what
has changed about the machine since the base was measured looks like a change of the code. docs/regressions.md says how often
this is wrong. The time of a baseline has no verdict: it is what others are measured by, and stands beside theirs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from plumbline.speed.intervals import (
    FALSE_ALARMS,
    PROCESS_SPREAD,
    SINGLE_SPREAD,
    Interval,
    Process,
    change,
    luck,
    processes,
    spread,
)
from plumbline.speed.record import Key, Measurement, Record

THRESHOLD = 0.03
"""A change below this does not matter in practice."""
LARGE = 0.10
"""An interval that reaches beyond this cannot call a series the same."""
SLACK = {"python_bytes": 1 << 16}
"""By how much a counter may move by itself; all others are exact."""
AGAIN = 8
"""Processes of each side in which what is suspected is measured again."""
Again = Callable[[Sequence[str]], tuple[Record | None, Record]]
"""Measures benchmarks again: a record of the base's code, or None where that is not at hand, and one of today's."""
OTHERS = 3
"""Other benchmarks' baselines that it takes to tell how much the whole machine has drifted."""


class Verdict(StrEnum):
    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    UNCLEAR = "unclear"
    BASELINE_MOVED = "baseline moved"
    COUNTER_GREW = "counter grew"
    COUNTER_FELL = "counter fell"
    GONE = "gone"
    WITHHELD = "withheld"
    NEW = "new"
    NOT_COMPARABLE = "not comparable"


FAILURES = {Verdict.SLOWER, Verdict.COUNTER_GREW, Verdict.GONE}


@dataclass(frozen=True)
class Judging:
    """What a series is judged by. series: how many were compared. expected: the usual spread of processes, in logarithms."""

    threshold: float = THRESHOLD
    series: int = 1
    expected: float = PROCESS_SPREAD


@dataclass(frozen=True)
class Change:
    """Of one series, or of one of its counters.

    interval: of the time over the baseline's, in logarithms; of the time alone where nothing ran in turns with it.
    itself, baseline_itself: the factors of both sides' own seconds, which drift with the machine. drift: the same of the other
    benchmarks' baselines, None where they are too few, 1 where both sides were measured in turns. before, after: what the
    interval was computed from. counter, old, new: where it is about a counter. reason: of what is gone, withheld or not
    comparable.
    """

    key: Key
    verdict: Verdict
    interval: Interval | None = None
    baseline: str = ""
    itself: float = 1.0
    baseline_itself: float | None = None
    drift: float | None = None
    before: tuple[Process, ...] = ()
    after: tuple[Process, ...] = ()
    judging: Judging = Judging()
    counter: str = ""
    old: int | None = None
    new: int | None = None
    reason: str = ""

    @property
    def fails(self) -> bool:
        return self.verdict in FAILURES

    @property
    def suspected(self) -> bool:
        """Worth measuring again before it is believed, or dismissed."""
        return (
            self.interval is not None
            and self.interval.middle > math.log1p(self.judging.threshold)
            and self.verdict in {Verdict.SLOWER, Verdict.SAME, Verdict.UNCLEAR}
        )

    def __str__(self) -> str:
        about = f"{self.key.benchmark} of {self.key.implementation or 'plain benchmark'}: {self.verdict}"
        if self.counter:
            return f"{about}: {self.counter}, {self.old} -> {'not counted' if self.new is None else self.new}"
        if self.interval is None:
            return about + (f": {self.reason}" if self.reason else "")
        low, high = (_percent(math.exp(end)) for end in (self.interval.low, self.interval.high))
        if not self.baseline:
            return f"{about}: {_percent(math.exp(self.interval.middle))} [{low}, {high}], drift included"
        text = f"{about}: {_percent(math.exp(self.interval.middle))} [{low}, {high}] over {self.baseline}"
        text += f"; itself {_percent(self.itself)}, {self.baseline} {_percent(self.baseline_itself or 1.0)}"
        return text + (f", the other baselines {_percent(self.drift)}" if self.drift else "")


def compare(base: Record, new: Record, threshold: float = THRESHOLD) -> list[Change]:
    """Of every series that either has, failures first, then by key. threshold: 0.03 is 3 %."""
    baselines = {(m.key.benchmark, m.baseline) for m in new.measurements if m.baseline}
    left = {m.key: m for m in base.measurements}
    times: list[Change] = []
    found: list[Change] = []
    unmatched = []
    for m in new.measurements:
        old = left.pop(m.key, None)
        if old is None:
            unmatched.append(m)
        else:
            if (m.key.benchmark, m.key.implementation) not in baselines:
                times.append(_of_times(base, new, old, m))
            found += _of_counters(old, m)
    for m in unmatched:
        old = next((o for o in left.values() if _same_elsewhere(o.key, m.key)), None)
        if old is None:
            found.append(Change(m.key, Verdict.NEW))
        else:
            del left[old.key]
            found.append(Change(m.key, Verdict.NOT_COMPARABLE, reason=_differences(old.key, m.key)))
            found += _of_counters(old, m)
    found += _all_judged(times, threshold)
    found += [_missing(old, base, new) for old in left.values()]
    return sorted(found, key=lambda c: (not c.fails, c.key, c.counter))


def settle(changes: Sequence[Change], again: Again) -> list[Change]:
    """After what is suspected was measured ``again``, which is called once, with the benchmarks of all suspects, if any."""
    suspects = [c for c in changes if c.suspected]
    if not suspects:
        return list(changes)
    base, new = again(sorted({c.key.benchmark for c in suspects}))
    return [_settled(c, base, new, len(suspects)) if c.suspected else c for c in changes]


def _settled(found: Change, base: Record | None, new: Record, suspects: int) -> Change:
    """As it was where ``new`` does not have the series."""
    m = next((m for m in new.measurements if m.key == found.key), None)
    old = next((m for m in base.measurements if m.key == found.key), None) if base else None
    if m and base and old:
        again = _of_times(base, new, old, m)
        judging = replace(found.judging, series=suspects)
        return _beyond_luck(_judged(replace(again, judging=judging, drift=1.0))) if again.before else again
    if m is None or bool(_in_turns(new, m)) != bool(found.baseline):
        return found
    return _judged(replace(found, after=(*found.after, *processes(m, _in_turns(new, m)))))


def _beyond_luck(found: Change) -> Change:
    """Slower only if it is so by ranks too."""
    believed = len(found.before) == 1 or luck(found.before, found.after) <= FALSE_ALARMS / found.judging.series
    return found if believed or found.verdict is not Verdict.SLOWER else replace(found, verdict=Verdict.UNCLEAR)


def _of_times(base: Record, new: Record, old: Measurement, m: Measurement) -> Change:
    """Not judged yet, unless it is not comparable."""
    before, after = _in_turns(base, old), _in_turns(new, m)
    if old.baseline != m.baseline or (before is None) != (after is None):
        reason = f"was measured over {old.baseline or 'nothing'}, now over {m.baseline or 'nothing'}"
        return Change(m.key, Verdict.NOT_COMPARABLE, reason=reason)
    if before and after and before.version != after.version:
        reason = f"{m.baseline} was {before.version or 'of no version'}, now is {after.version or 'of no version'}"
        return Change(m.key, Verdict.NOT_COMPARABLE, reason=reason)
    return Change(
        key=m.key,
        verdict=Verdict.UNCLEAR,
        baseline=m.baseline if after else "",
        itself=m.median / old.median,
        baseline_itself=after.median / before.median if before and after else None,
        before=processes(old, before),
        after=processes(m, after),
    )


def _all_judged(times: Sequence[Change], threshold: float) -> Iterator[Change]:
    """By what all of them together say of the machine."""
    comparable = [c for c in times if c.before]
    yield from (c for c in times if not c.before)
    if not comparable:
        return
    usual = statistics.median(spread(c.before, c.after) for c in comparable)
    baselines = {c.key.benchmark: c.baseline_itself for c in comparable if c.baseline_itself}
    for c in comparable:
        others = [factor for benchmark, factor in baselines.items() if benchmark != c.key.benchmark]
        drift = statistics.median(others) if len(others) >= OTHERS else None
        least = PROCESS_SPREAD if len(c.before) + len(c.after) > 2 else SINGLE_SPREAD
        judging = Judging(threshold, len(comparable), max(least, usual))
        yield _judged(replace(c, judging=judging, drift=drift))


def _judged(found: Change) -> Change:
    """With its interval, and the verdict that this gives."""
    by = found.judging
    interval = change(found.before, found.after, bool(found.baseline), by.series, by.expected)
    limit, middle = math.log1p(by.threshold), interval.middle
    beyond = interval.low > limit or interval.high < -limit
    if beyond and abs(middle) > interval.chance:
        verdict = Verdict.SLOWER if middle > 0 else Verdict.FASTER
        if _baseline_moved(found, middle):
            verdict = Verdict.BASELINE_MOVED
    elif not beyond and max(interval.high, -interval.low) < math.log1p(max(LARGE, by.threshold)):
        verdict = Verdict.SAME
    else:
        verdict = Verdict.UNCLEAR
    return replace(found, interval=interval, verdict=verdict)


def _baseline_moved(found: Change, ratio: float) -> bool:
    """Beside the other baselines, it stood still, and its own baseline made at least three quarters of the change."""
    if found.drift is None or found.baseline_itself is None:
        return False
    itself, baseline = math.log(found.itself / found.drift), math.log(found.baseline_itself / found.drift)
    return abs(itself) < math.log1p(found.judging.threshold) and -baseline / ratio > 0.75


def _of_counters(old: Measurement, m: Measurement) -> Iterator[Change]:
    for name, count in old.counters.items():
        now = m.counters.get(name)
        if now is None or abs(now - count) > SLACK.get(name, 0):
            verdict = Verdict.GONE if now is None else Verdict.COUNTER_GREW if now > count else Verdict.COUNTER_FELL
            yield Change(m.key, verdict, counter=name, old=count, new=now)


def _missing(old: Measurement, base: Record, new: Record) -> Change:
    key = old.key
    for withheld in new.withheld:
        if withheld.is_of(key):
            return Change(key, Verdict.WITHHELD, reason=withheld.reason)
    if base.profile != new.profile:
        reason = f"not in this record, whose profile is {new.profile or 'none'}, not {base.profile or 'none'}"
        return Change(key, Verdict.NOT_COMPARABLE, reason=reason)
    return Change(key, Verdict.GONE, reason="was measured, and is not any more")


def _in_turns(record: Record, m: Measurement) -> Measurement | None:
    """Its baseline, if that has as many rounds."""
    other = record.baseline_of(m) if m.baseline else None
    same = other is not None and (other.processes, other.round_of) == (m.processes, m.round_of)
    return other if same else None


def _same_elsewhere(a: Key, b: Key) -> bool:
    """The same benchmark with another torch, driver or chip, on the same kind of device."""
    return (a.benchmark, a.implementation, bool(a.driver)) == (b.benchmark, b.implementation, bool(b.driver))


def _differences(old: Key, new: Key) -> str:
    names = [name for name in ("hardware", "driver", "torch") if getattr(old, name) != getattr(new, name)]
    return "; ".join(f"{name} was {getattr(old, name)}, now is {getattr(new, name)}" for name in names)


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):+.1f} %"
