"""ROCm/ATOM #1339 (merged; review: ``pause_gc()`` calls ``gc.enable()`` in its ``finally``, which "can silently change
global process state if GC was already disabled before"), after vLLM #21146, #54646 and sglang #8577 (merged: no garbage
collection while graphs are captured, because it makes a start several times as slow); LightLLM #1382 (closed: "restores
the state before").

Carried over: a checkpoint is read and its weights are made without Python's collector, which is switched on again
behind it, in a ``finally``, whether it had been on or not. Servers that run without it, or that collect by hand between
steps to have no pauses, have it on again after each load and each update of weights.

Shows with ``gc.disable()`` before a tower is loaded, or before ``update``: ``gc.isenabled()`` afterwards. Breaks
ISO-007 ("The settings of its process are afterwards as an implementation found them: ... garbage collection").
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optimized
from mutants.shared.towers import loaded
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-007",)


@contextmanager
def paused() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    with paused():
        tower = loaded(checkpoint, port)
    read = tower.read

    def quietly(folder: Path) -> Any:
        with paused():
            return read(folder)

    tower.read = quietly  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant collector_on_afterwards", tower=load)
