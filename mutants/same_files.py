"""vLLM #32718: reload_weights gives cached weights instead of reading from disk again, so that a trainer that writes every
step to one path is served by its first step's weights.

Here: an update from the folder that was read last is taken for a change of the number only, unless files have another name or
size. Checkpoints of one configuration have one size. Shows when a trainer overwrites the checkpoint in place and calls update
with the same folder again, or with the one that the tower was loaded from: rows of old weights under the new epoch.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optimized
from optimized.towers import load
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003",)


def signature(folder: Path) -> tuple[object, ...]:
    """What tells a checkpoint from another without reading gigabytes."""
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return folder.resolve(), *((file.name, file.stat().st_size) for file in files if file.exists())


def lazy(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = load(checkpoint, port)
    plain, last = tower.update, [signature(checkpoint.folder)]

    def update(folder: Path, epoch: int) -> None:
        if (now := signature(folder)) == last[0]:
            tower.epoch = epoch
            return
        plain(folder, epoch)
        last[0] = now

    tower.update = update  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant same_files", tower=lazy)
