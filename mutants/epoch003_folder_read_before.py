"""Ours: weights that were read once are not read again, so that going back to them changes the number of the epoch and nothing
else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optimized
from mutants.shared.towers import loaded
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003",)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    whole, seen = tower.update, set[Path]()

    def update(folder: Path, epoch: int) -> None:
        if folder in seen:
            tower.epoch = epoch
        else:
            whole(folder, epoch)
            seen.add(folder)

    tower.update = update  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant epoch003_folder_read_before", tower=load)
