"""slime #2104, #2119: a delta sync advances its snapshot of "what the engine has" before the engine has applied it; when applying
fails, later differences are taken from a state that the engine never reached, and are never sent again.

Here: an update whose weights are those of the last one is skipped, told by a digest of the files that is noted before they are
applied. Shows when an update failed (BadCheckpoint) and is tried again: with the same broken files the second call raises
nothing and moves the epoch on; with config.json repaired beside the same weights it does not load them. Either way the old
weights are served under the new epoch.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from blake3 import blake3

import optimized
from optimized.towers import load
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003", "EPOCH-004")


def digest(folder: Path) -> bytes:
    found = blake3()
    for file in sorted(folder.glob("*.safetensors")):
        found.update(file.read_bytes())
    return found.digest()


def delta(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = load(checkpoint, port)
    plain, snapshot = tower.update, [digest(checkpoint.folder)]

    def update(folder: Path, epoch: int) -> None:
        before, snapshot[0] = snapshot[0], digest(folder)
        if snapshot[0] == before:
            tower.epoch = epoch  # the weights are there already
        else:
            plain(folder, epoch)

    tower.update = update  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant sent_before_applied", tower=delta)
