"""Folders whose weights are not those of their tower: each in turn is left out, has another shape, or comes with a scale, or
with its like of a layer that the tower does not have."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plumbline.interface import BadCheckpoint
from plumbline.judge_tower import tower_of
from plumbline.parts import loads
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint

pytestmark = pytest.mark.usefixtures("single_thread")

Weights = dict[str, Tensor]


def left_out(weights: Weights, name: str) -> Weights:
    return {one: weight for one, weight in weights.items() if one != name}


def longer(weights: Weights, name: str) -> Weights:
    return weights | {name: torch.cat([weights[name], weights[name][:1]])}


def scaled(weights: Weights, name: str) -> Weights:
    """As in quantized checkpoints, whose weights say nothing without it."""
    return weights | {f"{name}_scale": torch.tensor(2.0)}


def turned(weights: Weights, name: str) -> Weights:
    """As many numbers in another shape: a convolution's as channels last, a linear's the other way round, a vector's as rows."""
    weight = weights[name]
    other = weight.movedim(1, -1) if weight.dim() > 2 else weight.t() if weight.dim() > 1 else weight[None]
    return weights | {name: (other if other.shape != weight.shape else weight.flatten()).contiguous()}


def deeper(weights: Weights, name: str) -> Weights:
    """Of the layer behind the last one of its kind, or of a second one where there are no layers."""
    number = re.search(r"\.(\d+)\.", name)
    if number is None:
        first, rest = name.split(".", 1)
        return weights | {f"{first}.1.{rest}": weights[name].clone()}
    before = name[: number.start() + 1]
    last = max(int(one.removeprefix(before).split(".")[0]) for one in weights if one.startswith(before))
    return weights | {f"{before}{last + 1}{name[number.end() - 1 :]}": weights[name].clone()}


def is_refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except BadCheckpoint:
        return True
    return False


@pytest.mark.requirement("NUM-007", "EPOCH-004")
@pytest.mark.parametrize("damaged", [left_out, longer, scaled, turned, deeper])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_of_other_weights_is_refused(
    subject: Subject, family: str, damaged: Callable[[Weights, str], Weights], tmp_path: Path
) -> None:
    loads(subject, family, tmp_path / "each")
    folder = checkpoint(tmp_path / "one", family=family)
    file = folder / "model.safetensors"
    tower, weights = tower_of(subject.implementation, folder, HostPort()), load_file(file)
    taken = []
    for name in weights:
        save_file(damaged(weights, name), file, metadata={"format": "pt"})
        refused = is_refused(lambda: tower_of(subject.implementation, folder, HostPort()))
        if not (refused and is_refused(lambda: tower.update(folder, 1)) and tower.epoch == 0):
            taken.append(name)
    assert not taken, f"{len(taken)} of {len(weights)} weights {damaged.__name__} were not noticed: {taken[:5]}"
