"""How far the plain towers are from transformers and from float64, and that broken ones are further."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.certify import same_bits
from plumbline.oracle import Oracle, distances, terms_of_float32
from plumbline.small_tower import checkpoint
from reference.towers import kimi_k25, qwen
from reference.towers.arithmetic import PlainTower, axial_angles
from reference.towers.kimi_k25 import KimiK25Tower
from tests.numerics.bounds import Record, hold, oracle_of
from tests.numerics.towers import CALLS, TOWERS, call_of, outputs, tower_of

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module", params=TOWERS)
def oracle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Oracle]:
    family, sizes = TOWERS[request.param]
    folder = checkpoint(tmp_path_factory.mktemp("tower"), family=family, **sizes)
    return folder, oracle_of(folder, family)


@pytest.mark.requirement("NUM-002")
@pytest.mark.requirement("NUM-003")
@pytest.mark.parametrize("name", CALLS)
def test_distances_are_within_the_bound(oracle: tuple[Path, Oracle], name: str, record_property: Record) -> None:
    folder, theirs = oracle
    tower = tower_of(folder)
    call = call_of(tower, *CALLS[name])
    plain, exact, single = outputs(tower(call)), theirs.run(theirs.exact, call), theirs.run(theirs.single, call)
    own, rest = theirs.sigmas(call, terms_of_float32), theirs.sigmas(call, theirs.terms_of_itself)
    hold(record_property, "plain float32 to float64", plain, exact, own, rest)
    hold(record_property, "transformers float32 to float64", single, exact, own, rest)
    hold(record_property, "plain to transformers, float32", plain, single, own, own)


@pytest.mark.requirement("NUM-003")
def test_in_float64_only_the_float32_of_the_oracle_is_left(
    oracle: tuple[Path, Oracle], record_property: Record
) -> None:
    folder, theirs = oracle
    tower = tower_of(folder, torch.float64)
    call = call_of(tower, *CALLS["several"])
    plain, exact = outputs(tower(call)), theirs.run(theirs.exact, call)
    sigmas = theirs.sigmas(call, theirs.terms_of_itself)
    hold(record_property, "plain float64 to transformers float64", plain, exact, sigmas)


# ------------------------------------------------------------------------------------------------------ what is further

gelu = F.gelu
Break = Callable[[pytest.MonkeyPatch, PlainTower], object]


def configured(**changes: object) -> Break:
    return lambda patch, tower: patch.setattr(tower, "config", replace(tower.config, **changes))


def weight_in_bfloat16(name: str) -> Break:
    return lambda patch, tower: patch.setitem(tower.weights, name, tower.weights[name].bfloat16().double())


def frame_by_frame(patch: pytest.MonkeyPatch, tower: PlainTower) -> None:
    """Every frame of a clip as a segment of its own."""
    mixed = tower.attention

    def apart(qkv: Tensor, cos: Tensor, sin: Tensor, lengths: list[int]) -> Tensor:
        return mixed(qkv, cos, sin, [h * w for t, h, w in CALLS["several"] for _ in range(t)])

    patch.setattr(tower, "attention", apart)


def frames_together(patch: pytest.MonkeyPatch, tower: PlainTower) -> None:
    """Every item as one segment."""
    mixed = tower.attention
    lengths = [math.prod(grid) for grid in CALLS["several"]]
    patch.setattr(tower, "attention", lambda qkv, cos, sin, _: mixed(qkv, cos, sin, lengths))


def replaced(module: object, name: str, function: Callable[..., Tensor]) -> Break:
    return lambda patch, _: patch.setattr(module, name, function)


def the_other_gelu(x: Tensor, approximate: str) -> Tensor:
    return gelu(x, approximate="none" if approximate == "tanh" else "tanh")


def swapped(row: Tensor, column: Tensor, head: int, theta: float) -> tuple[Tensor, Tensor]:
    return axial_angles(column, row, head, theta)


def corner_to_corner(size: int, stored: int) -> Tensor:
    """Bicubic shares, but with the first and the last place where the first and the last patch are."""
    middle = torch.arange(size, dtype=torch.float64) * (stored - 1) / max(size - 1, 1)
    return kimi_k25.bicubic((middle[:, None] - torch.arange(stored)).abs().clamp(max=2))


BREAKS: dict[str, dict[str, Break]] = {
    "qwen3_vl": {
        "another rotation": configured(rope_theta=9000.0),
        "one bias in bfloat16": weight_in_bfloat16("blocks.0.attn.proj.bias"),
        "the other GELU": replaced(F, "gelu", the_other_gelu),
        "rows and columns swapped": replaced(qwen, "axial_angles", swapped),
        "frames see each other": frames_together,
    },
    "qwen2_5_vl": {
        "another rotation": configured(rope_theta=9000.0),
        "one bias in bfloat16": weight_in_bfloat16("blocks.0.attn.proj.bias"),
        "no windows": configured(fullatt_block_indexes=(0, 1, 2, 3)),
        "windows everywhere": configured(fullatt_block_indexes=()),
        "smaller windows": configured(window_size=56),
        "GELU for SiLU": replaced(F, "silu", F.gelu),
        "rows and columns swapped": replaced(qwen, "axial_angles", swapped),
        "windows of neighbours": replaced(Tensor, "argsort", lambda x, stable=False: torch.arange(len(x))),
    },
    "kimi_k25": {
        "another rotation": configured(rope_theta=9000.0),
        "one bias in bfloat16": weight_in_bfloat16("vision_tower.layers.0.attn.proj.bias"),
        "rows and columns swapped": replaced(kimi_k25, "axial_angles", swapped),
        "frames do not see each other": frame_by_frame,
        "no time": replaced(KimiK25Tower, "times", lambda _, frames: torch.zeros(1).expand(frames, 1)),
        "the last frame for the mean": replaced(Tensor, "mean", lambda x, dim: x[-1]),
        "corner to corner": replaced(kimi_k25, "shares", corner_to_corner),
        "linear for bicubic": replaced(kimi_k25, "bicubic", lambda distance: (1 - distance).clamp(min=0)),
        "another bicubic curve": replaced(kimi_k25, "SHARPNESS", -0.5),
    },
}
"""What real towers get wrong, by family."""


@pytest.fixture(scope="module")
def oracles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Oracle]]:

    @cache
    def of(family: str) -> tuple[Path, Oracle]:
        folder = checkpoint(tmp_path_factory.mktemp(family), family=family)
        return folder, oracle_of(folder, family)

    return of


@pytest.mark.requirement("NUM-002")
@pytest.mark.requirement("NUM-003")
@pytest.mark.parametrize(("family", "name"), [(family, name) for family, names in BREAKS.items() for name in names])
def test_the_bound_is_exceeded_by(
    oracles: Callable[[str], tuple[Path, Oracle]], family: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, so that nothing but the mistake is left: by more than two evaluations in float32 may differ from each other,
    which is sqrt(2) times the bound of one, so that no correct tower is as far from another as this one."""
    folder, theirs = oracles(family)
    tower = tower_of(folder, torch.float64)
    call = call_of(tower, *CALLS["several"])
    exact = theirs.run(theirs.exact, call)
    own, rest = theirs.sigmas(call, terms_of_float32), theirs.sigmas(call, theirs.terms_of_itself)
    with monkeypatch.context() as patch:
        BREAKS[family][name](patch, tower)
        wrong = outputs(tower(call))
    for distance in distances(wrong, exact, own, rest):
        print(distance)
        assert distance.rms_share > math.sqrt(2), distance
        assert distance.largest_share > math.sqrt(2), distance


# ------------------------------------------------------------------------------------------------------ other models


@pytest.mark.requirement("NUM-002")
@pytest.mark.parametrize(
    ("model", "tower", "sizes"),
    [
        ("qwen3_vl_moe", "Qwen3VLMoeVisionModel", {}),
        ("qwen3_5", "Qwen3_5VisionModel", {"deepstack_visual_indexes": []}),
        ("qwen3_5_moe", "Qwen3_5MoeVisionModel", {"deepstack_visual_indexes": []}),
    ],
)
def test_other_models_with_the_tower_of_qwen3_vl(
    model: str, tower: str, sizes: dict[str, object], tmp_path: Path
) -> None:
    """transformers' towers of both give the same bits, so that whoever is near to one is near to the other."""
    folder = checkpoint(tmp_path, **sizes)
    theirs = oracle_of(folder, "qwen3_vl")
    kind = getattr(importlib.import_module(f"transformers.models.{model}.modeling_{model}"), tower)
    raw = json.loads((folder / "config.json").read_text()) | {"model_type": f"{model}_vision"}
    (folder / "config.json").write_text(json.dumps(raw))
    other = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").requires_grad_(False)
    call = call_of(tower_of(folder), *CALLS["several"])
    pairs = zip(theirs.run(other, call), theirs.run(theirs.single, call), strict=True)
    assert all(same_bits(a, b) for a, b in pairs)
