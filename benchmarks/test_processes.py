"""A payload from one real process to another, each way beside a copy of the same bytes (benchmarks/transport.py says how)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from pytest_benchmark.stats import Metadata

from benchmarks.transport import COPY, Link, Way, measure, reading, ways
from plumbline.resolve import Subject
from plumbline.speed.duel import entry

SIZES = {1.5: 20, 36.0: 6}
"""MiB, and rounds."""
NAME = "between processes/{} MiB"
"""A test is called as its benchmark, so that what fails is withheld."""


@pytest.fixture(scope="module")
def link() -> Iterator[tuple[Link, dict[str, Way]]]:
    with reading(sglang=False) as both:
        known = ways(both)
        yield both, known
        for way in known.values():
            way.close()


@pytest.mark.parametrize("size", SIZES, ids=[NAME.format(size) for size in SIZES])
def test_one_way(
    size: float,
    link: tuple[Link, dict[str, Way]],
    subjects: Sequence[Subject],
    wanted: Callable[[str], bool],
    add_benchmark: Callable[[Metadata], object],
) -> None:
    if "optimized" not in [s.spec for s in subjects] or not wanted("between processes"):
        pytest.skip("these are the ways of optimized and the reference")
    row = measure(*link, size, 1, SIZES[size])
    for name, seconds in row["seconds"].items():
        taken = seconds["touched"]
        rounds = [statistics.fmean(taken[k : k + 2]) for k in range(0, len(taken), 2)]
        baseline = "" if name == COPY else COPY
        add_benchmark(entry(NAME.format(size), name, rounds, baseline, torch.device("cpu")))
