"""One request on paper: numbers calculated by hand, what must add up, and what was measured."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

import optimized.ranks
from plumbline.real_sizes import SIZES
from plumbline.roofline import tower as towers
from plumbline.roofline.ceilings import ROOT, read
from plumbline.roofline.measured import ENCODED, ENCODER, measurements, spent
from plumbline.roofline.request import HBM, HOST, NVLINK, ORIGINS, PCIE, TENSOR_CORES, WHY, Request, RequestError, model
from plumbline.roofline.tower import segments, shares, tower
from tests.roofline.round_ceilings import ROUND

IMAGE = (1, 32, 32)
TWO = Request("qwen3_vl", ((1, 4, 4), (1, 2, 4)), 3, 4096, staged=True)
"""24 patches of 1,536 numbers of two bytes: 73,728 bytes, 6 rows of 4 levels."""


def test_two_small_images_by_hand() -> None:
    stages = {stage.name: stage for stage in model(TWO, ROUND)}
    assert list(stages) == list(WHY)
    payload = 24 * 1536 * 2
    layer = 3456 * 1152 + 1152 * 1152 + 4304 * 1152 + 1152 * 4304
    merger = 4608 * 4608 + 4096 * 4608
    weights = 1152 * 1536 + 27 * layer + 4 * merger
    passed = 24 * (1152 + 1536) + 27 * 24 * (4 * 1152 + 2 * 1152 + 2 * (1152 + 4304)) + 4 * 6 * (4 * 4608 - 512)
    row = 4096 * 2 * 4
    wanted: dict[str, tuple[dict[str, float], float, float, str]] = {
        "hash": ({HBM: payload}, 0, payload / 1e3, "BLAKE3 on the GPU"),
        "stage": ({HBM: 2 * payload}, 0, 2 * payload / 1e6, HBM),
        "link": ({NVLINK: payload, HBM: 2 * payload}, 0, payload / 1e5, NVLINK),
        "H2D": ({}, 0, 0, PCIE),
        "linears": (
            {HBM: 2 * (weights + passed)},
            2 * (24 * (1152 * 1536 + 27 * layer) + 6 * 4 * merger),
            2 * (weights + passed) / 1e6,  # so few patches read weights for longer than they calculate
            HBM,
        ),
        "attention": ({HBM: 8 * 1152 * 24 * 27}, 4 * (16**2 + 8**2) * 1152 * 27, 8 * 1152 * 24 * 27 / 1e6, HBM),
        "memory": ({HBM: 12 * 2 * 24 * 1152 * 27}, 0, 12 * 2 * 24 * 1152 * 27 / 1e6, HBM),
        "gather": ({}, 0, 0, NVLINK),
        "merge": ({HBM: 2 * (6 * row + 3 * 8192)}, 0, 2 * (6 * row + 3 * 8192) / 1e6, HBM),
    }
    for name, (nbytes, operations, floor, bound) in wanted.items():
        assert stages[name].nbytes == pytest.approx(nbytes), name
        assert sum(stages[name].operations.values()) == pytest.approx(operations), name
        assert stages[name].floor == pytest.approx(floor), name
        assert stages[name].bound == bound, name


def test_many_patches_are_bound_by_operations() -> None:
    stages = {stage.name: stage for stage in model(replace(TWO, grids=(IMAGE,) * 32), ROUND)}
    linears, attention = stages["linears"], stages["attention"]
    assert (linears.bound, attention.bound) == (TENSOR_CORES, TENSOR_CORES)
    assert attention.operations[TENSOR_CORES] == 4 * 1024**2 * 1152 * 27 * 32
    assert linears.floor == pytest.approx(linears.operations[TENSOR_CORES] / 1e14 * 1e6)


def test_from_the_host_each_rank_draws_over_its_own_link() -> None:
    request = replace(TWO, origin="pageable", ranks=2, shared=False, staged=False)
    stages = {stage.name: stage for stage in model(request, ROUND)}
    payload = 73_728
    assert stages["hash"].nbytes == {HOST: payload}
    assert stages["H2D"].nbytes == {HOST: 2 * payload, PCIE: 2 * payload, HBM: 2 * payload}
    assert stages["H2D"].floor == pytest.approx(payload / 1e9 * 1e6)
    staged = {stage.name: stage for stage in model(replace(request, staged=True), ROUND)}
    assert staged["H2D"].floor == pytest.approx(payload / 1e10 * 1e6)
    assert (staged["stage"].floor, staged["stage"].nbytes) == (None, {HOST: 2 * payload})


def test_ranks_that_share_images_gather_the_rows_of_the_others() -> None:
    request = replace(TWO, ranks=2)
    stages = {stage.name: stage for stage in model(request, ROUND)}
    row = 4096 * 2 * 4
    assert shares(request.tower, request.grids, 2) == [[(1, 4, 4)], [(1, 2, 4)]]
    assert stages["gather"].nbytes[NVLINK] == 6 * row
    assert stages["gather"].floor == pytest.approx(4 * row / 1e11 * 1e6)  # the rank with 2 rows of its own receives 4
    assert stages["memory"].floor == pytest.approx(12 * 2 * 16 * 1152 * 27 / 1e6)
    alone = {stage.name: stage for stage in model(replace(request, own_gpu=True), ROUND)}
    assert alone["link"].nbytes[NVLINK] == 8 * 1536 * 2


def test_windows_are_cut_at_the_edge_and_frames_are_pooled_where_they_are() -> None:
    assert segments(tower("qwen2_5_vl"), [(2, 10, 8)]) == {(80, 4): 2, (64, 28): 2, (16, 28): 2}
    assert segments(tower("qwen3_vl"), [(3, 4, 4), (1, 4, 4)]) == {(16, 27): 4}
    assert segments(tower("kimi_k25"), [(3, 4, 4)]) == {(48, 27): 1}
    assert [tower(family).rows((4, 4, 6)) for family in SIZES] == [24, 24, 6]


def test_the_sizes_are_those_of_the_certified_towers() -> None:
    """Ours fill rows up to a multiple of 32 where a product would read on."""
    raw = json.loads((ROOT / "benchmarks" / "history" / ENCODER).read_text(encoding="utf-8"))
    for family, certificate in raw["certificates"].items():
        filled = {(out, into) for out, into in map(tuple, certificate["shapes"])}
        named = {(out, into) for _, out, into, _ in tower(family).linears}
        assert len(filled) == len(named)
        for out, into in named:
            assert any(0 <= a - out < 64 and 0 <= b - into < 64 for a, b in filled), (family, out, into, filled)


def test_images_are_shared_out_as_the_fast_implementation_does() -> None:
    assert towers.EVEN == optimized.ranks.EVEN


def drawn(seed: int) -> Request:
    draw = random.Random(seed)
    grids = tuple(
        (draw.choice([1, 1, 3]), 2 * draw.randint(1, 30), 2 * draw.randint(1, 30)) for _ in range(draw.randint(1, 6))
    )
    return Request(
        draw.choice(list(SIZES)),
        grids,
        draw.randint(0, 500),
        draw.choice([2048, 4096]),
        payload_bytes=draw.choice([2, 4]),
        origin=draw.choice(ORIGINS),
        ranks=draw.choice([1, 2, 4]),
        staged=draw.random() < 0.5,
        shared=draw.random() < 0.5,
        own_gpu=draw.random() < 0.5,
        cached=draw.randint(0, len(grids)),
    )


@pytest.mark.parametrize("seed", range(40))
def test_each_byte_crosses_one_link_for_each_of_its_readers(seed: int) -> None:
    request = drawn(seed)
    stages = {stage.name: stage for stage in model(request, ROUND)}
    readers = 1 if request.shared else request.ranks
    wanted = readers * request.nbytes(request.missing)
    crossed = stages["link"].nbytes.get(NVLINK, 0.0) + stages["H2D"].nbytes.get(PCIE, 0.0)
    if request.origin == "gpu" and request.own_gpu:
        owned = shares(request.tower, request.missing, request.ranks)[0] if request.shared else request.missing
        crossed += request.nbytes(owned)  # read where it lies
    assert crossed == wanted


@pytest.mark.parametrize("seed", range(40))
def test_twice_the_images_are_twice_the_bytes_and_operations(seed: int) -> None:
    request = replace(drawn(seed), own_gpu=False)  # what rank 0 owns, and does not draw, changes with the number
    once, twice = model(request, ROUND), model(request.times(2), ROUND)
    for one, two in zip(once, twice, strict=True):
        assert sum(two.operations.values()) == pytest.approx(2 * sum(one.operations.values())), one.name
        if one.name != "linears":  # weights are read once, however many images there are
            assert two.nbytes == pytest.approx({link: 2 * amount for link, amount in one.nbytes.items()}), one.name


@pytest.mark.parametrize("seed", range(20))
def test_what_is_cached_is_neither_sent_nor_encoded(seed: int) -> None:
    request = replace(drawn(seed), cached=0)
    every = replace(request, cached=len(request.grids))
    for one, two in zip(model(request, ROUND), model(every, ROUND), strict=True):
        if one.name in ("hash", "merge"):
            assert two == one
        else:
            assert not any(two.nbytes.values())
            assert not any(two.operations.values())
            assert not two.floor


def test_no_floor_is_above_what_was_measured() -> None:
    """None is excepted."""
    ceilings = read()
    assert len(measurements()) >= 60
    for one in measurements():
        floors = [stage.floor or 0.0 for stage in model(one.request, ceilings) if stage.name in one.stages]
        assert sum(floors) <= one.microseconds, one.case
    large = [one for one in measurements() if "32 x 1,024" in one.case]
    assert len(large) == 9
    for one in large:  # nor so far below that it says nothing
        floors = [stage.floor or 0.0 for stage in model(one.request, ceilings) if stage.name in one.stages]
        assert sum(floors) > 0.7 * one.microseconds, one.case


def test_no_floor_is_above_the_kernels_that_a_profiler_saw() -> None:
    ceilings = read()
    profiles = {case.case.split(",")[0]: dict(case.parts) for case in spent() if "kernels" in case.case}
    assert set(profiles) == set(SIZES)
    for family, parts in profiles.items():
        request = Request(family, (IMAGE,) * 32, 0, tower(family).out)
        floors = {stage.name: stage.floor or 0.0 for stage in model(request, ceilings)}
        parts["memory"] = parts["norms and residual sums"] + parts["rotation"]
        for name in ENCODED:
            assert 0.8 * parts[name] < floors[name] <= parts[name], (family, name)


def test_where_time_went_adds_up() -> None:
    for case in spent():
        assert all(took > 0 for _, took in case.parts), case
        assert sum(took for _, took in case.parts) == pytest.approx(case.microseconds)


def test_a_measurement_belongs_to_its_own_case_alone() -> None:
    for one in measurements():
        assert one.fits(one.request)
        assert not one.fits(replace(one.request, grids=(*one.request.grids, IMAGE)))
        if "linears" not in one.stages:
            assert not one.fits(replace(one.request, payload_bytes=1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"grids": ((1, 3, 4),)},
        {"grids": ((0, 4, 4),)},
        {"grids": ((4, 4),)},
        {"cached": 3},
        {"cached": -1},
        {"ranks": 0},
        {"hidden": 0},
        {"text": -1},
        {"origin": "disk"},
    ],
)
def test_sizes_of_no_request_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        replace(TWO, **wrong)
