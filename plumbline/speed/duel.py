"""One benchmark: several implementations in one process, in turns, so that whatever slows the machine slows all of them.

The times go to pytest-benchmark, one entry for each implementation; what it cannot know goes along as ``extra_info``.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytest_benchmark.stats import Metadata
from torch import Tensor

from plumbline.resolve import Subject
from plumbline.speed.counters import count
from plumbline.speed.parts import bare_copy, operation, workload_of
from plumbline.speed.setting import Operation, Setting, Unmeasured
from plumbline.timing import Contestant, in_turns

TURN = 0.004
"""Seconds that a turn lasts at least: shorter runs are repeated."""
BARE_COPY = "bare copy"
"""The baseline of a part that the reference does not have."""
MOST_RUNS, FEWEST_ROUNDS, MOST_ROUNDS = 16, 5, 40


@dataclass
class Duel:
    """What is timed together, the first one beginning. baseline: the name of the one that ratios are over. seconds: to spend."""

    benchmark: str
    contestants: dict[str, Contestant]
    baseline: str
    seconds: float
    device: torch.device
    versions: Mapping[str, str] = field(default_factory=dict)
    counters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def run(self, add: Callable[[Metadata], object]) -> None:
        contestants = {name: self._waited(one) for name, one in self.contestants.items()}
        runs, rounds = self._plan(contestants)
        samples = in_turns(contestants, rounds, warmup=1, runs=runs)
        for name, seconds in samples.items():
            turns = 2 * runs[name]
            add(self._entry(name, [statistics.fmean(seconds[k : k + turns]) for k in range(0, len(seconds), turns)]))

    def _waited(self, one: Contestant) -> Contestant:
        if self.device.type != "cuda":
            return one

        def run() -> object:
            result = one.run()
            torch.cuda.synchronize(self.device)
            return result

        return Contestant(run, one.ready)

    def _plan(self, contestants: Mapping[str, Contestant]) -> tuple[dict[str, int], int]:
        """Runs of each in a row at a turn, and rounds, from a second run of each."""
        runs, cycle = {}, 0.0
        for name, one in contestants.items():
            for _ in range(2):
                began = time.perf_counter()
                one.ready()
                half = time.perf_counter()
                one.run()
                ended = time.perf_counter()
            runs[name] = max(1, min(MOST_RUNS, round(TURN / (ended - half))))
            cycle += runs[name] * (ended - began)
        return runs, max(FEWEST_ROUNDS, min(MOST_ROUNDS, round(self.seconds / (2 * cycle))))

    def _entry(self, name: str, samples: Sequence[float]) -> Metadata:
        return entry(
            self.benchmark,
            name,
            samples,
            "" if name == self.baseline else self.baseline,
            self.device,
            self.versions.get(name, ""),
            self.counters.get(name, {}),
        )


def entry(
    benchmark: str,
    implementation: str,
    samples: Sequence[float],
    baseline: str,
    device: torch.device,
    version: str = "",
    counters: Mapping[str, int] = {},
) -> Metadata:
    """What pytest-benchmark shows and saves. samples: seconds of one run, one for each round."""
    fixture = SimpleNamespace(
        name=f"{benchmark}[{implementation}]",
        fullname=f"{benchmark}[{implementation}]",
        group=benchmark,
        param=implementation,
        params={"implementation": implementation},
        extra_info={
            "benchmark": benchmark,
            "implementation": implementation,
            "version": version,
            "device": device.type,
            "baseline": baseline,
            "counters": dict(counters),
        },
        cprofile_stats=None,
        cprofile_dump=None,
        has_error=False,
    )
    made = Metadata(fixture, iterations=1, options={})
    for sample in samples:
        made.update(sample)
    return made


class Differs(AssertionError):
    """Two implementations do not give the same."""


@contextlib.contextmanager
def duel_of(
    benchmark: str,
    subjects: Sequence[Subject],
    device: torch.device,
    seconds: float,
    counted: bool = True,
    turned: bool = False,
) -> Iterator[Duel]:
    """The subjects that bring the part, the first of them the baseline. counted: with counters, which takes longer than the
    times. turned: the last of them begins each round.

    Raises Differs if they do not give the same, and Unmeasured if none but the baseline brings it.
    """
    workload = workload_of(benchmark, device)
    operations: dict[str, Operation] = {}
    baseline = subjects[0].implementation.name
    with contextlib.ExitStack() as closing:
        for subject in subjects:
            with contextlib.suppress(Unmeasured):
                one = operation(benchmark, subject, device, workload)
                closing.callback(one.close)
                operations[subject.implementation.name] = one
        if baseline not in operations:
            baseline = BARE_COPY
            operations = {baseline: bare_copy(Setting(subjects[0], workload, device)), **operations}
        if len(operations) < 2:
            raise Unmeasured(benchmark)
        _same(benchmark, operations, baseline)
        gc.freeze()  # what is here by now stays: neither a count nor a round need look through it
        closing.callback(gc.unfreeze)
        counters = {}
        for name, one in operations.items() if counted else ():
            seen = count(one.run, one.ready, device)
            one.ready()
            one.run()
            counters[name] = one.counts() | seen
        gc.freeze()  # and what counting has imported
        order = reversed(operations) if turned else operations
        contestants = {name: operations[name].contestant for name in order}
        versions = {s.implementation.name: s.implementation.version for s in subjects}
        yield Duel(benchmark, contestants, baseline, seconds, device, versions, counters)


def _same(benchmark: str, operations: Mapping[str, Operation], baseline: str) -> None:
    wanted: list[Tensor] = []
    for name, one in operations.items():
        one.ready()
        found = [t.cpu() for t in one.result()]
        if name == baseline:
            wanted = found
        elif wanted and (len(found) != len(wanted) or not all(map(_equal, found, wanted))):
            raise Differs(f"{benchmark}: {name} does not give what {baseline} gives")


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


@pytest.fixture
def add_benchmark(request: pytest.FixtureRequest) -> Callable[[Metadata], object]:
    """Adds an entry to what pytest-benchmark shows and saves."""
    session: Any = request.config._benchmarksession  # type: ignore[attr-defined]
    return partial(_append, session.benchmarks)


def _append(benchmarks: list[Metadata], entry: Metadata) -> None:
    benchmarks.append(entry)
