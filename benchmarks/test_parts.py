"""Every part of an implementation against the reference's, over workloads that look like serving."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from pytest_benchmark.stats import Metadata

from plumbline.resolve import Subject
from plumbline.speed.duel import duel_of
from plumbline.speed.setting import Unmeasured


def test_part(
    benchmark_name: str,
    subjects: Sequence[Subject],
    device: torch.device,
    seconds: float,
    counted: bool,
    turned: bool,
    add_benchmark: Callable[[Metadata], object],
) -> None:
    try:
        with duel_of(benchmark_name, subjects, device, seconds, counted, turned) as duel:
            duel.run(add_benchmark)
    except Unmeasured:
        pytest.skip("no implementation but the reference brings it")
