"""mlx-swift-lm #296, OpenTau #483 in kind: places are bfloat16 before they become angles, which is exact up to 256."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.towers import load
from optimized.towers.tower import FastTower
from optimized.towers.trunk import SIDE, Turns
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006", "NUM-002", "NUM-003")


def rounded(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = load(checkpoint, port)
    assert isinstance(tower, FastTower)
    places = torch.arange(SIDE, device=tower.device).bfloat16().long().clamp(max=SIDE - 1)
    tower.turns = Turns(*(turn[places].contiguous() for turn in tower.turns))
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant num006_places_in_bfloat16", tower=rounded)
