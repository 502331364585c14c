"""The host's work beside SGLang's own functions, where a release of it is at hand (benchmarks/sglang.py says how)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest
import torch
from pytest_benchmark.stats import Metadata

from plumbline.resolve import Subject
from plumbline.speed.duel import Duel

CASES = ["splitting", "hashing", "steps of rows of 8", "steps of rows of 1,024"]


@pytest.mark.skipif(not os.environ.get("PLUMBLINE_SGLANG"), reason="PLUMBLINE_SGLANG names no release")
@pytest.mark.parametrize("case", CASES)
def test_beside_sglang(
    case: str,
    subjects: Sequence[Subject],
    wanted: Callable[[str], bool],
    seconds: float,
    add_benchmark: Callable[[Metadata], object],
) -> None:
    from adapters.sglang_release import release  # loads it
    from benchmarks import sglang

    if "optimized" not in [s.spec for s in subjects] or not wanted("beside SGLang"):
        pytest.skip("it is optimized that stands beside SGLang")
    theirs = f"sglang {release().version}"
    for title, contestants, _ in sglang.cases()[CASES.index(case)]():
        both = {theirs: contestants["sglang"], "optimized": contestants["optimized"]}
        Duel(f"beside SGLang/{title}", both, theirs, seconds, torch.device("cpu")).run(add_benchmark)
