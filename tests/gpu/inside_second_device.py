"""A tower on a GPU that is not the thread's current one, in calls that are captured and in larger ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from optimized.towers import load
from optimized.towers.tower import GRAPHED
from plumbline.cuda.port import CudaPort
from plumbline.interface import Checkpoint
from plumbline.small_tower import FAMILIES, checkpoint
from tests.numerics.towers import Grid, all_same_bits, call_of

LARGE = (1, 96, 96)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("grids", [[(1, 4, 6)], [LARGE, (1, 4, 6)]], ids=["captured", "eager"])
def test_the_current_device_does_not_matter(second: str, family: str, grids: list[Grid], tmp_path: Path) -> None:
    assert LARGE[1] * LARGE[2] > GRAPHED
    # Heads of at least 16 numbers in every family.
    sizes = {"hidden_size": 96, "num_attention_heads" if family == "kimi_k25" else "num_heads": 4}
    folder = checkpoint(tmp_path, family=family, **sizes)
    there = torch.device(second)
    tower = load(Checkpoint(folder, torch.bfloat16, 1, 2, 3), CudaPort(there.index))
    call = call_of(tower, *grids)
    call = replace(call, patches=call.patches.to(there))
    found = []
    for current in ("cuda:0", second):
        torch.cuda.set_device(current)
        found.append(tower(call))
        assert torch.cuda.current_device() == torch.device(current).index
    torch.cuda.set_device(0)
    assert found[0].rows.device == there
    assert found[0].rows.isfinite().all()
    assert all_same_bits(*found)
