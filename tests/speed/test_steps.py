"""Change points: steps are found where they are, spikes and noise are none."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from plumbline.speed.steps import levels, steps

SEEDS = range(200)


def noise(seed: int, count: int = 200, spread: float = 0.03) -> NDArray[np.float64]:
    return np.exp(np.random.default_rng(seed).normal(0, spread, count))


def place(seed: int, count: int = 200) -> int:
    return int(np.random.default_rng((seed, 1)).integers(10, count - 10))


def test_noise_has_no_step() -> None:
    assert sum(not steps(noise(seed)) for seed in SEEDS) >= 190


@pytest.mark.parametrize("count", [12, 30])
def test_short_noise_has_no_step(count: int) -> None:
    assert sum(not steps(noise(seed, count)) for seed in SEEDS) >= 190


def test_a_step_is_found_where_it_is() -> None:
    """Of 10 %, up or down, among noise of 3 %."""
    found = 0
    for seed in SEEDS:
        values, factor = noise(seed), 1.1 if seed % 2 else 1 / 1.1
        values[place(seed) :] *= factor
        at = [step for step in steps(values) if abs(step.after.start - place(seed)) <= 2]
        found += len(at) == 1 and abs(at[0].factor / factor - 1) < 0.03
    assert found >= 190


def test_two_steps_are_told_apart() -> None:
    found = 0
    for seed in range(50):
        values = noise(seed)
        values[60:] *= 1.1
        values[120:] /= 1.2
        starts = [step.after.start for step in steps(values)]
        found += len(starts) == 2 and abs(starts[0] - 60) <= 2 and abs(starts[1] - 120) <= 2
    assert found >= 47


@pytest.mark.parametrize("width", [1, 2])
def test_spikes_are_no_steps(width: int) -> None:
    """In the middle and at both ends, upwards and downwards: no more steps than noise has, and none as high as they."""
    some = 0
    for seed in SEEDS:
        values = noise(seed)
        for start in (0, place(seed), 200 - width):
            values[start : start + width] *= 2.0 if seed % 2 else 0.5
        found = steps(values)
        some += bool(found)
        assert all(0.85 < step.factor < 1.15 for step in found), seed
    assert some <= 10


def test_three_new_points_are_enough_at_the_end() -> None:
    values = noise(0)
    values[-3:] *= 1.5
    assert [step.after.start for step in steps(values)] == [197]
    values[-3] /= 1.5
    assert steps(values) == []


def test_levels_have_bands_of_their_own_spread() -> None:
    values = noise(3, spread=0.01)
    values[100:] = 2 * noise(4, 100, spread=0.03)
    values[150] *= 3
    quiet, loud = levels(values)
    assert (quiet.start, quiet.stop, loud.start, loud.stop) == (0, 100, 100, 200)
    assert 1.015 < quiet.high / quiet.middle < 1.03
    assert 1.045 < loud.high / loud.middle < 1.08
    inside = sum(loud.low <= v <= loud.high for v in values[100:])
    assert 90 <= inside <= 99


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 5.0], [1.0, 1.0, 5.0, 5.0, 5.0], [0.25] * 50])
def test_little_or_the_same_has_no_step(values: list[float]) -> None:
    assert steps(values) == []
    assert len(levels(values)) == bool(values)


def test_a_figure_that_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="not above 0"):
        steps([1.0, 0.0])
    with pytest.raises(ValueError, match="not above 0"):
        steps([1.0, float("nan")])


def test_two_hundred_points_take_milliseconds() -> None:
    values = noise(0)
    least = min(_seconds(values) for _ in range(5))
    assert least < 0.1  # 5 ms on a quiet machine


def _seconds(values: NDArray[np.float64]) -> float:
    began = time.perf_counter()
    steps(values)
    return time.perf_counter() - began
