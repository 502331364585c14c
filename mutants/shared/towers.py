"""Broken twins of the fast towers: loaded as they are, and one thing in them replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from optimized import towers
from optimized.graphs import GraphCache
from optimized.towers import tower as module
from optimized.towers.checkpoint import Stored
from optimized.towers.plan import Grid
from optimized.towers.tower import FastTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

Load = Callable[[Checkpoint, DevicePort], LoadedTower]


def loaded(checkpoint: Checkpoint, port: DevicePort) -> FastTower[Any, Any]:
    tower = towers.load(checkpoint, port)
    assert isinstance(tower, FastTower)
    return tower


def with_stored(kind: type[Stored]) -> Load:
    """Weights are read through it, when the tower is loaded and when it is updated."""

    def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
        with patch.object(module, "Stored", kind):
            tower = loaded(checkpoint, port)
        tower.stored = lambda folder: kind(folder, tower.shapes(), tower.roots)  # type: ignore[method-assign]
        return tower

    return load


def with_grids(change: Callable[[Grid, int], Grid]) -> Load:
    """change: of a grid's part of a plan, which is not to be written to, and how many frames it has."""

    def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
        tower = loaded(checkpoint, port)
        whole = tower.records.grid

        def changed(frames: int, height: int, width: int) -> Grid:
            return change(whole(frames, height, width), frames)

        tower.records = tower.records._replace(grid=changed)
        return tower

    return load


def with_graphs(kind: type[GraphCache]) -> Load:
    def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
        tower = loaded(checkpoint, port)
        tower.graphs = kind(port) if tower.graphs is not None else None
        return tower

    return load
