"""Fast towers on a GPU against plain ones in float64 on the CPU: Triton's kernels and cuBLAS's, as they are compiled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from optimized.towers import load
from plumbline.cuda import CudaPort
from plumbline.interface import Checkpoint
from plumbline.oracle import terms_of_float32
from plumbline.small_tower import checkpoint
from tests.numerics.bounds import PlainOracle, Record, hold
from tests.numerics.towers import CALLS, TOWERS, call_of, outputs


@pytest.fixture(scope="module", params=TOWERS)
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PlainOracle]:
    family, sizes = TOWERS[request.param]
    folder = checkpoint(tmp_path_factory.mktemp("tower"), family=family, **sizes)
    return folder, PlainOracle(folder, family)


@pytest.mark.requirement("NUM-006")
@pytest.mark.parametrize("name", CALLS)
def test_a_tower_in_float32_is_within_the_bound(
    theirs: tuple[Path, PlainOracle], name: str, record_property: Record
) -> None:
    """Its first call and a replay."""
    assert not torch.backends.cuda.matmul.allow_tf32, "float32 would have the 11 bits of TF32"
    folder, oracle = theirs
    port = CudaPort(0)
    tower = load(Checkpoint(folder, torch.float32, 151655, 151656, 151936), port)
    call = call_of(oracle.exact, *CALLS[name])
    exact, own = oracle.run(oracle.exact, call), oracle.sigmas(call, terms_of_float32)
    there = replace(call, patches=port.move(call.patches))
    for _ in range(2):
        found = [level.cpu() for level in outputs(tower(there))]
        hold(record_property, "fast float32 on CUDA to plain float64", found, exact, own)
