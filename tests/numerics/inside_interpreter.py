"""The fast towers with Triton's kernels, in its interpreter, held to the same bound as with torch's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from triton.runtime import interpreter

from optimized.towers import kernels_cuda, kernels_host, load
from optimized.towers.tower import FastTower
from plumbline.interface import Checkpoint
from plumbline.oracle import terms_of_float32
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint
from tests.numerics.bounds import PlainOracle, Record, hold
from tests.numerics.towers import Grid, call_of, outputs

GRIDS: dict[str, list[Grid]] = {
    "qwen3_vl": [(1, 4, 6), (2, 2, 2)],
    "qwen2_5_vl": [(1, 4, 8), (2, 2, 2)],
    "kimi_k25": [(1, 2, 4), (3, 4, 4)],
}
"""Larger than a window, and several frames."""

patched = interpreter._patch_lang_tensor


def patch(tensor: Any, scope: Any) -> None:
    """Triton's own asks numpy for the index that an array of one number is, which newer ones refuse."""
    patched(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))


interpreter._patch_lang_tensor = patch


def interpreted() -> SimpleNamespace:
    """Triton's kernels. cuBLAS's GELU is another function on a CPU."""
    names = {name: getattr(kernels_cuda, name) for name in kernels_cuda.__all__}
    return SimpleNamespace(**names | {"linear_gelu": kernels_host.linear_gelu})


def tower_of(folder: Path) -> FastTower:
    tower = load(Checkpoint(folder, torch.float32, 151655, 151656, 151936), HostPort())
    assert isinstance(tower, FastTower)
    return tower


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tower_of_these_kernels_is_within_the_bound(family: str, tmp_path: Path, record_property: Record) -> None:
    folder = checkpoint(tmp_path, family=family)
    theirs, tower = PlainOracle(folder, family), tower_of(folder)
    call = call_of(tower, *GRIDS[family])
    tower.kernels = interpreted()
    exact, own = theirs.run(theirs.exact, call), theirs.sigmas(call, terms_of_float32)
    hold(record_property, "interpreted float32 to plain float64", outputs(tower(call)), exact, own)
