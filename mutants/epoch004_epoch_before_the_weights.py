"""Ours: the number of the epoch is set first, and stays when the weights are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optimized
from mutants.shared.towers import loaded
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-004",)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    whole = tower.update

    def update(folder: Path, epoch: int) -> None:
        tower.epoch = epoch
        whole(folder, epoch)

    tower.update = update  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(
    optimized.implementation, name="mutant epoch004_epoch_before_the_weights", tower=load
)
