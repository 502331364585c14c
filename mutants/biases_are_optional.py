"""llama.cpp #16906 (review: ``get_tensor(..., false)`` for every bias of a projector, where the file must have them); kekzl/imp
#1170 on why: a tower with an empty slot "still runs; it just returns embeddings unrelated to the image".

One loader for families with and without biases: a bias that the checkpoint does not hold is taken for zero. So a folder
that lacks one (a shard that was not copied, a renamed or filtered weight) is loaded, or updates a tower, without BadCheckpoint.

Shows: a folder that holds all weights but one or more biases; with load and with update. Whole checkpoints are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import optimized
from optimized import towers
from optimized.towers.checkpoint import PREFIXES, Stored, files_of, read_config
from optimized.towers.kimi_published import is_published
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-007", "EPOCH-004")


class WithOptionalBiases(Stored):
    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]], roots: tuple[str, ...]) -> None:
        names = files_of(folder).keys()
        self.absent = {
            name: shape
            for name, shape in shapes.items()
            if name.endswith(".bias") and not any(prefix + name in names for prefix in PREFIXES)
        }
        super().__init__(folder, {name: shapes[name] for name in shapes if name not in self.absent}, roots)

    def __call__(self, name: str) -> Tensor:
        return torch.zeros(self.absent[name]) if name in self.absent else super().__call__(name)


class Lenient:
    """Before any family's tower."""

    def stored(self: Any, folder: Path) -> Any:
        if any(map(is_published, files_of(folder))):
            return super().stored(folder)  # type: ignore[misc]
        return WithOptionalBiases(folder, self.shapes(), self.roots)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    kind: Any = towers.FAMILIES.get(str(raw.get("model_type")).removesuffix("_vision"))
    if kind is None:
        return towers.load(checkpoint, port)
    made: LoadedTower = type(kind.__name__, (Lenient, kind), {})(checkpoint, port, raw)
    return made


implementation = dataclasses.replace(optimized.implementation, name="mutant biases_are_optional", tower=load)
