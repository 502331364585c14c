"""Times several ways to do the same thing in one process, in turns, so that whatever slows the machine slows all of them.

samples = in_turns({"ours": ours, "theirs": theirs}, rounds=20)
ratio(samples["ours"], samples["theirs"])             # median of the rounds' ratios, with a 95 % interval
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """run: what is timed. ready: what must be done before each run, and is not."""

    run: Callable[[], object]
    ready: Callable[[], object] = lambda: None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps Python's garbage collector out of the runs; it is run between the rounds instead."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def in_turns(
    contestants: Mapping[str, Contestant],
    rounds: int,
    warmup: int = 2,
    runs: int | Mapping[str, int] = 1,
    done: Callable[[int], object] = lambda _: None,
) -> dict[str, list[float]]:
    """Seconds of each run, two turns for each contestant and round: A B B A.

    runs: in a row at each turn, of all or of each. The first of them finds the processor's caches full of what the other left
    there, the others find what they left themselves. done: called with the number of each round.
    """
    order = [*contestants, *reversed(list(contestants))]
    in_a_row = {name: runs if isinstance(runs, int) else runs[name] for name in contestants}
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    with _no_collection():
        for number in range(-warmup, rounds):
            gc.collect()
            for name in order:
                for _ in range(in_a_row[name]):
                    contestants[name].ready()
                    began = time.perf_counter()
                    result = contestants[name].run()
                    seconds = time.perf_counter() - began
                    del result  # is freed outside the time, whoever keeps it
                    if number >= 0:
                        samples[name].append(seconds)
            done(number)
    return samples


def ratio(
    a: list[float], b: list[float], rounds_of: int = 2, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Median of a's rounds over b's, and the ends of its bootstrapped 95 % interval. rounds_of: runs of each in a round."""
    starts = range(0, len(a), rounds_of)
    rounds = [sum(a[k : k + rounds_of]) / sum(b[k : k + rounds_of]) for k in starts]
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(rounds, k=len(rounds))) for _ in range(resamples))
    return statistics.median(rounds), medians[resamples * 25 // 1000], medians[resamples * 975 // 1000]
