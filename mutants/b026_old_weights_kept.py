"""B026's kin (trl #7198): an update puts new weights beside the old ones, which something still holds, so that graphs read
them for ever."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optimized
from mutants.shared.towers import loaded
from optimized.towers.weights import mapped
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = "B026"
PARENT = "optimized"
ACCEPT = ("EPOCH-003",)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    kept: list[Any] = []

    def update(folder: Path, epoch: int) -> None:
        kept.append(tower.weights)
        tower.weights = mapped(tower.read(folder), port.move)
        tower.epoch = epoch

    tower.update = update  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant b026_old_weights_kept", tower=load)
