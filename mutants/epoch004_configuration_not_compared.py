"""Ours: an update looks at weights alone, which can have the right shapes for another number of heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import optimized
from mutants.shared.towers import loaded
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-004",)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)

    def config_of(raw: Mapping[str, Any]) -> Any:
        return tower.config

    tower.config_of = config_of  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(
    optimized.implementation, name="mutant epoch004_configuration_not_compared", tower=load
)
