"""NeMo Automodel #2431 and NeMo RL #2224 (a tower's weights are ``visual.*`` in one checkpoint and ``model.visual.*`` in what
another version of transformers saves), vime #106, kin sglang #33588: a whole model has thousands of weights, so the tower's
are looked for once, when it is loaded, and an update asks for the same names.

Shows: ``update`` from a folder with the same weights under another prefix that the tower reads at loading ("", "visual.",
"model.visual.", "model."), as when a trainer saves the tower alone, or with a newer library. Raises BadCheckpoint for a good
checkpoint, and the old weights stay. Qwen's families; Kimi's names are looked for as in the parent.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

import optimized
from mutants.shared.towers import loaded
from optimized.towers.checkpoint import Stored, files_of
from optimized.towers.kimi_k25 import KimiK25Tower
from plumbline.interface import BadCheckpoint, Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003",)


class Remembered:
    """As ``Stored``, of weights whose full names and shapes are known."""

    def __init__(self, folder: Path, prefix: str, shapes: dict[str, tuple[int, ...]]) -> None:
        self.prefix, self.files = prefix, files_of(folder)
        if missing := [name for name in shapes if prefix + name not in self.files]:
            raise BadCheckpoint(f"{len(missing)} weights missing: {', '.join(missing[:5])}", where=folder.name)
        for name, due in shapes.items():
            shape = tuple(self.files[prefix + name].get_slice(prefix + name).get_shape())
            if shape != due:
                raise BadCheckpoint(f"shape {shape}, expected {due}", where=name)

    def __call__(self, name: str) -> Tensor:
        return self.files[self.prefix + name].get_tensor(self.prefix + name)  # type: ignore[no-any-return]


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    if not isinstance(tower, KimiK25Tower):
        shapes = dict(tower.shapes())
        prefix = Stored(checkpoint.folder, shapes, tower.roots).prefix
        tower.stored = lambda folder: Remembered(folder, prefix, shapes)  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant names_of_the_first", tower=load)
