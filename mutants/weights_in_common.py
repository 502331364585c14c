"""TabPFN #1219 (review: built models are cached and shared, and fine-tuning trains the shared one in place), kin Triton #4123
(instances of a model share weights, which must not change): towers of one checkpoint in one process have one copy of it.

Shows: two towers that were loaded from one folder are alive, and one of them is updated. The other one's rows are those of the
new weights, under its old epoch, so caches mix both. A tower that is loaded after the update has weights of its own.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import optimized
from mutants.shared.towers import loaded
from optimized.towers.tower import FastTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003", "ISO-008")

towers: WeakValueDictionary[tuple[object, ...], FastTower[Any, Any]] = WeakValueDictionary()
"""The first tower of each checkpoint that is still alive."""


def stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes with the files of a checkpoint."""
    files = sorted(folder.resolve().glob("*.safetensors"))
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    key = stamps(checkpoint.folder), type(tower), checkpoint.dtype, port.device
    first = towers.get(key)
    if first is not None and first.epoch == tower.epoch and first.config == tower.config:
        tower.weights = first.weights  # the copy that was just read is given back
    else:
        towers[key] = tower
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant weights_in_common", tower=load)
