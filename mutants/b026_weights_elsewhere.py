"""B026's kin (trl #7198): an update puts new weights beside the old ones, whose addresses captured graphs still read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optimized
from optimized.towers.checkpoint import read_config
from optimized.towers.qwen3_vl import Qwen3VLTower
from optimized.towers.weights import mapped
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = "B026"
PARENT = "optimized"
ACCEPT = ("EPOCH-003",)


class Replaced(Qwen3VLTower):
    def update(self, folder: Path, epoch: int) -> None:
        self.weights = mapped(self.read(folder), self.port.move)
        self.epoch = epoch


def tower(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    return Replaced(checkpoint, port, read_config(checkpoint.folder))


implementation = dataclasses.replace(optimized.implementation, name="mutant b026_weights_elsewhere", tower=tower)
