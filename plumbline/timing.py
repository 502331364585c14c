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
    contestants: Mapping[str, Contestant], rounds: int, warmup: int = 2, done: Callable[[int], object] = lambda _: None
) -> dict[str, list[float]]:
    """Seconds of each run, two for each contestant and round: A B B A. done: called with the number of each round."""
    order = [*contestants, *reversed(list(contestants))]
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    with _no_collection():
        for number in range(-warmup, rounds):
            gc.collect()
            for name in order:
                contestants[name].ready()
                began = time.perf_counter()
                contestants[name].run()
                seconds = time.perf_counter() - began
                if number >= 0:
                    samples[name].append(seconds)
            done(number)
    return samples


def ratio(a: list[float], b: list[float], resamples: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Median of a's rounds over b's, and the ends of its bootstrapped 95 % interval. A round is two runs of each."""
    rounds = [(a[k] + a[k + 1]) / (b[k] + b[k + 1]) for k in range(0, len(a), 2)]
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(rounds, k=len(rounds))) for _ in range(resamples))
    return statistics.median(rounds), medians[resamples * 25 // 1000], medians[resamples * 975 // 1000]
