"""How sure a change between two records is, given that processes differ and machines drift.

What counts is the logarithm of an implementation's time over its baseline's. The two ran in turns, so that what slows the
machine cancels. It is summed up by one figure for each process, the median of its rounds, since processes of the same code
differ by a per cent or two (where memory lies, what caches hold), and no number of rounds in one process shows that. Their
spread is pooled over both records and with what is usual among all series, so that three processes that agree by luck are not
believed: Student's interval with a prior variance.

Chosen by simulation. Of slowdowns of 10 %, with three processes a record that differ by 2 %, it found 90 of 100 (with a prior
of 2 %), the pooled interval without a prior 77, Welch's 65, all three without a false alarm in 98 of 100 runs or more. A
bootstrap of processes gave false alarms in 12 and 18 of 100 runs, of five and three processes that differ by 3 %. A
permutation of three processes against three cannot say less than one in twenty.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from plumbline.speed.record import Measurement

PROCESS_SPREAD = 0.03
"""Standard deviation of processes that is expected at least, in logarithms: two sides, each off by 2 %."""
SINGLE_SPREAD = 0.10
"""The same where each record has one process, so that nothing shows it."""
PROCESS_WEIGHT = 4
"""As many further processes, beyond one, is that expectation worth."""
DRIFT = 0.08
"""Standard deviation between two runs of times that have no baseline in turns, in logarithms."""
TAIL = 0.025
"""Beyond each end of an interval: 95 % are within."""
FALSE_ALARMS = 0.03
"""Of runs in which nothing has changed, the share in which chance alone may make any series look slower."""


@dataclass(frozen=True)
class Process:
    """middle: median of the rounds' logarithms. error: its standard error by the rounds' own spread, robust."""

    middle: float
    error: float


@dataclass(frozen=True)
class Interval:
    """Of a change, in logarithms: 0.1 is 10.5 % more. chance: how far the worst series is off where nothing has changed."""

    middle: float
    low: float
    high: float
    chance: float


def processes(measurement: Measurement, baseline: Measurement | None) -> tuple[Process, ...]:
    """One for each process. Over the baseline's time where there is one; else of the time itself, in seconds."""
    logs = [math.log(value) for value in _rounds(measurement)]
    if baseline is not None:
        logs = [log - math.log(value) for log, value in zip(logs, _rounds(baseline), strict=True)]
    ends = accumulate((count // measurement.round_of for count in measurement.processes), initial=0)
    return tuple(_process(logs[start:stop]) for start, stop in pairwise(ends) if stop > start)


def spread(*sides: Sequence[Process]) -> float:
    """Standard deviation of processes of one side, pooled over all: at least what the rounds of each make of it."""
    freedom = sum(len(side) - 1 for side in sides)
    within = statistics.fmean(process.error**2 for side in sides for process in side)
    return math.sqrt(max(within, _squares(*sides) / freedom if freedom else 0.0))


def change(
    before: Sequence[Process],
    after: Sequence[Process],
    in_turns: bool,
    series: int = 1,
    expected: float = PROCESS_SPREAD,
) -> Interval:
    """Of the mean of ``after`` over that of ``before``.

    in_turns: both were taken over a baseline, which drifts with them. series: how many are compared at once. expected: the
    spread of processes that is usual here.
    """
    freedom = PROCESS_WEIGHT + len(before) + len(after) - 2
    squares = PROCESS_WEIGHT * expected**2 + _squares(before, after)
    within = statistics.fmean(process.error**2 for process in (*before, *after))  # all there is, of a single process
    variance = max(squares / freedom, within) * (1 / len(before) + 1 / len(after))
    error = math.sqrt(variance + (0 if in_turns else 2 * DRIFT**2))
    middle = _mean(after) - _mean(before)
    half = quantile(freedom, TAIL) * error
    return Interval(middle, middle - half, middle + half, quantile(freedom, FALSE_ALARMS / series) * error)


def luck(before: Sequence[Process], after: Sequence[Process]) -> float:
    """The chance that processes of the same code are drawn so unevenly, with the slower ones in ``after``.

    Exact, of Wilcoxon's rank sum, so that it holds however processes are distributed: where each is either fast or slow, and
    Student's interval is too narrow.
    """
    values = [process.middle for process in (*before, *after)]
    ranks = {at: rank for rank, at in enumerate(sorted(range(len(values)), key=values.__getitem__), 1)}
    reached = sum(ranks[at] for at in range(len(before), len(values)))
    ways = Counter({(0, 0): 1})  # by how many were drawn, and the sum of their ranks
    for rank in ranks.values():
        ways += Counter({(n + 1, total + rank): count for (n, total), count in ways.items() if n < len(after)})
    drawn = {total: count for (n, total), count in ways.items() if n == len(after)}
    return sum(count for total, count in drawn.items() if total >= reached) / sum(drawn.values())


def quantile(freedom: int, tail: float) -> float:
    """Student's, with ``tail`` above it, by its expansion around the normal one (Abramowitz and Stegun 26.7.5).

    From four degrees of freedom on it is right to 0.1 % for a tail of 0.025, to 3 % for one of 0.001.
    """
    x = -statistics.NormalDist().inv_cdf(tail)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))


def _rounds(measurement: Measurement) -> list[float]:
    """Seconds of each round, process by process; what is left over in a process belongs to none."""
    samples, size = measurement.samples, measurement.round_of
    return [
        sum(samples[k : k + size])
        for start, stop in pairwise(accumulate(measurement.processes, initial=0))
        for k in range(start, stop - size + 1, size)
    ]


def _squares(*sides: Sequence[Process]) -> float:
    """Sum of the squared distances of each process from the mean of its side."""
    return math.fsum((process.middle - _mean(side)) ** 2 for side in sides for process in side)


def _mean(side: Sequence[Process]) -> float:
    return statistics.fmean(process.middle for process in side)


def _process(logs: Sequence[float]) -> Process:
    middle = statistics.median(logs)
    spread = statistics.median(abs(log - middle) for log in logs) / 0.6745
    return Process(middle, spread * math.sqrt(math.pi / 2 / len(logs)))
