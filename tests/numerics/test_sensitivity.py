"""Comparisons of towers see planted faults, and nothing where none is."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plumbline.interface import BadCheckpoint
from plumbline.oracle import Oracle
from plumbline.resolve import SpecError
from plumbline.small_tower import FAMILIES
from tests.numerics.faults import FAULTS, of_family, planted
from tests.numerics.sensitivity import Bench, drawn
from tests.numerics.towers import CALLS, Grid, outputs

pytestmark = pytest.mark.usefixtures("single_thread")

BenchOf = Callable[[str, torch.dtype], Bench]
PLANTED = [(family, name) for family in FAMILIES for name in of_family(family)]
WHOLE = [
    (family, name, dtype)
    for family, name in PLANTED
    for dtype in (torch.float32, torch.bfloat16)
    if dtype is torch.float32 or not FAULTS[name].rounding
]
"""In bfloat16 a fault that is a rounding is as small as those that are allowed."""
LADDER = [8.0**-step for step in range(8, 0, -1)] + [1.0]


@pytest.fixture(scope="module")
def bench_of(tmp_path_factory: pytest.TempPathFactory) -> BenchOf:
    """With transformers, too, where it is installed."""

    @cache
    def of(family: str, dtype: torch.dtype) -> Bench:
        folder = drawn(tmp_path_factory.mktemp(family), family, 0, dtype=dtype)
        return Bench(
            folder, family, CALLS["several"], dtype, theirs(folder, family) if dtype is torch.float32 else None
        )

    return of


def theirs(folder: Path, family: str) -> Oracle | None:
    try:
        return Oracle(folder, family)
    except (SpecError, BadCheckpoint):
        return None


@pytest.mark.requirement("NUM-002", "NUM-003", "NUM-006")
@pytest.mark.parametrize(("family", "name", "dtype"), WHOLE, ids=str)
def test_every_bound_sees_a_whole_fault(bench_of: BenchOf, family: str, name: str, dtype: torch.dtype) -> None:
    bench = bench_of(family, dtype)
    shares = bench.shares(outputs(planted(bench.tower, name, 1.0)(bench.call)))
    assert min(shares.values()) > 1, shares


@pytest.mark.parametrize(("family", "name"), PLANTED)
def test_what_is_seen_is_seen_when_it_grows(bench_of: BenchOf, family: str, name: str) -> None:
    bench = bench_of(family, torch.float32)
    sizes = LADDER if FAULTS[name].sized else [1.0]
    seen = [bench.seen(outputs(planted(bench.tower, name, size)(bench.call))) for size in sizes]
    for comparison in seen[0]:
        rungs = [found[comparison] for found in seen]
        assert rungs == sorted(rungs), comparison


def grids() -> st.SearchStrategy[list[Grid]]:
    side = st.integers(1, 6).map(lambda rows: 2 * rows)
    return st.lists(st.tuples(st.sampled_from([1, 1, 2, 4]), side, side), min_size=1, max_size=3)


@pytest.mark.requirement("NUM-003", "NUM-006")
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn_grids=grids(), seed=st.integers(0, 9999), spread=st.floats(0, 2))
def test_no_right_tower_is_taken_for_wrong(
    tmp_path_factory: pytest.TempPathFactory, family: str, drawn_grids: list[Grid], seed: int, spread: float
) -> None:
    """In bfloat16 with channels that are alike, since it is far from exact where they are not, and in calls of some rows."""
    for dtype, spread_, more in ((torch.float32, spread, []), (torch.bfloat16, 0.0, CALLS["several"])):
        folder = drawn(tmp_path_factory.mktemp("drawn"), family, seed, spread_, dtype)
        bench = Bench(folder, family, drawn_grids + more, dtype)
        for found in (outputs(bench.tower(bench.call)), bench.plain):
            shares = bench.shares(found)
            assert max(shares.values()) <= 1, (dtype, shares)
