"""Records of machines that do not exist, to measure how often a comparison is wrong.

    python -m tests.speed.simulated --runs 500              # the table of docs/regressions.md, in some minutes

A run has ``BENCHMARKS`` benchmarks of optimized and of reference in turns. The whole run drifts by 8 % and each benchmark by
2 % more, which both sides share; how it stands to its baseline is off by ``mood`` in the whole run, as where another job takes
the caches of one more than of the other. Each process of each side is off by ``spread``, each round of it by 3 %, and one
round in twenty has a spike of up to 3 times on one side.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plumbline.speed.compare import AGAIN, compare, settle
from plumbline.speed.record import Key, Measurement, Record

BENCHMARKS = 25
DRIFT, ROUND, SPIKES, SPIKE = 0.08, 0.03, 0.05, 3.0
SIDES = ("optimized", "reference")


@dataclass(frozen=True)
class Machine:
    """spread: standard deviation of processes of one side. drift: of a benchmark beside the whole run. mood: of one side
    of it for the whole run. All in logarithms."""

    processes: int = 5
    rounds: int = 15
    spread: float = 0.02
    drift: float = 0.02
    mood: float = 0.0


def benchmark(number: int) -> str:
    return f"part/{number:02d}"


def record(
    draw: np.random.Generator,
    machine: Machine = Machine(),
    slower: Mapping[tuple[int, str], float] = {},
    counters: Mapping[str, int] = {},
    mood: NDArray[np.float64] | None = None,
) -> Record:
    """slower: factors by number of the benchmark and implementation. counters: of optimized in every benchmark.
    mood: of the run.
    """
    shape = (BENCHMARKS, len(SIDES), machine.processes, machine.rounds)
    logs = np.repeat(draw.normal(0, ROUND, shape)[..., None], 2, axis=-1)
    logs += draw.normal(0, machine.spread, shape[:3])[..., None, None]
    logs += (moods(draw, machine) if mood is None else mood)[..., None, None, None]
    hit = draw.random(shape) < SPIKES / 2
    logs += (hit * np.log(draw.uniform(1, SPIKE, shape)))[..., None]
    seconds = np.exp(logs) * np.array([0.001, 0.004])[None, :, None, None, None]
    for (number, side), factor in slower.items():
        seconds[number, SIDES.index(side)] *= factor
    measurements = [
        measurement(number, side, seconds[number, k], counters if side == "optimized" else {})
        for number in range(BENCHMARKS)
        for k, side in enumerate(SIDES)
    ]
    return Record("simulated.json", "", "", "full", {}, tuple(measurements))


def moods(draw: np.random.Generator, machine: Machine) -> NDArray[np.float64]:
    """By how much a run is off: [benchmarks, sides]."""
    shared = draw.normal(0, machine.drift, (BENCHMARKS, 1)) + draw.normal(0, DRIFT)
    return shared + draw.normal(0, machine.mood, (BENCHMARKS, len(SIDES)))


def measurement(number: int, side: str, seconds: NDArray[np.float64], counters: Mapping[str, int]) -> Measurement:
    """seconds: [processes, rounds, 2]."""
    return Measurement(
        key=Key(benchmark(number), side, "none, 2 cores", "", "2.13.0"),
        version="1",
        samples=tuple(seconds.reshape(-1).tolist()),
        processes=(seconds[0].size,) * len(seconds),
        round_of=2,
        baseline="reference" if side == "optimized" else "",
        counters=counters,
    )


@dataclass(frozen=True)
class Rates:
    """Shares of runs. false_alarms: in which any series failed that had not changed. found: by the factor that was planted.

    Each of the first comparison, and after what was suspected had been measured again.
    """

    false_alarms: tuple[float, float]
    found: Mapping[float, tuple[float, float]]


def rates(machine: Machine, runs: int, factors: tuple[float, ...] = (), seed: int = 0, in_turns: bool = True) -> Rates:
    """Of comparisons of two records. factors: each planted in a benchmark of its own; all others have not changed.

    in_turns: the base's code is measured beside today's, both times; else its record is of another run, and stays as it is.
    """
    planted = {(number, "optimized"): factor for number, factor in enumerate(factors)}
    more = replace(machine, processes=AGAIN if machine.processes > 1 else 1)
    wrong, right = np.zeros(2), {factor: np.zeros(2) for factor in factors}

    def pair(draw: np.random.Generator, machine: Machine) -> tuple[Record, Record]:
        mood = moods(draw, machine)
        base = record(draw, machine, mood=mood if in_turns else None)
        return base, record(draw, machine, planted, mood=mood)

    for run in range(runs):
        draw = np.random.default_rng((seed, run))
        first = compare(*pair(draw, machine))
        base, new = pair(draw, more)
        second = settle(first, lambda _, both=(base if in_turns else None, new): both)
        for k, changes in enumerate((first, second)):
            failed = {change.key.benchmark for change in changes if change.fails}
            wrong[k] += bool(failed - {benchmark(number) for number in range(len(factors))})
            for number, factor in enumerate(factors):
                right[factor][k] += benchmark(number) in failed
    both = {factor: (float(count[0]) / runs, float(count[1]) / runs) for factor, count in right.items()}
    return Rates((float(wrong[0]) / runs, float(wrong[1]) / runs), both)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=500)
    runs = parser.parse_args().runs
    print("| mood | spread | processes | base | false alarms | 5 % | 10 % | 20 % |\n|---|---|---|---|---|---|---|---|")
    for mood in (0.0, 0.08):
        for spread in (0.01, 0.02, 0.05, 0.1):
            for processes in (3, 5, 8) if mood == 0 else (5,):
                for in_turns in (True, False):
                    machine = Machine(processes, 10, spread, mood=mood)
                    found = rates(machine, runs, (1.05, 1.1, 1.2), in_turns=in_turns)
                    cells = [f"{100 * a:.1f}, {100 * b:.1f}" for a, b in (found.false_alarms, *found.found.values())]
                    about = [
                        f"{100 * mood:.0f} %",
                        f"{100 * spread:.0f} %",
                        f"{processes}",
                        "in turns" if in_turns else "record",
                    ]
                    print(f"| {' | '.join([*about, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
