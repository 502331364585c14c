"""Ours: of three levels of deepstack the last is made by the merger of the one before. With one level or two all is right."""

from __future__ import annotations

import dataclasses

import optimized
from mutants.shared.towers import loaded
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006", "NUM-002", "NUM-003")


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    deepstack: tuple[object, ...] = getattr(tower.weights, "deepstack", ())
    if len(deepstack) > 2:
        tower.weights = tower.weights._replace(deepstack=(*deepstack[:-1], deepstack[-2]))
    return tower


implementation = dataclasses.replace(
    optimized.implementation, name="mutant num006_last_levels_share_a_merger", tower=load
)
