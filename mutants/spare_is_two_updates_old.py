"""pytorch #114446 (AOTInductor: weights are written into the inactive of two buffers, then the buffers are swapped),
with updates of what changed only, as in UniRL #369 (open) and modelexpress #717 (merged 2026-09, applies deltas to the
last materialization).

Carried over: the tower has a spare set of weights; an update writes what differs from the weights in use into the
spare one and swaps them. But the spare one is a state older: what changed in the update before, and not in this one,
is still its old self there. Shows: the second of two updates (or the same folder twice) leaves a tensor as it is that
the first one changed; then a call has old weights in part, under the new epoch. Updates that change every tensor each
time are right. CPU.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

import optimized
from mutants.shared.towers import loaded
from optimized.towers.weights import mapped, tensors
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003", "EPOCH-001")


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    if tower.graphs is not None:  # captured work reads one place only
        return tower
    with torch.inference_mode(False), torch.no_grad():
        spare = mapped(tower.weights, torch.clone)

    @torch.no_grad()
    def update(folder: Path, epoch: int) -> None:
        """Nothing in use is written to, and what is the same already is not copied."""
        nonlocal spare
        fresh = tower.read(folder)
        for idle, live, new in zip(tensors(spare), tensors(tower.weights), tensors(fresh), strict=True):
            if not torch.equal(live, new):
                idle.copy_(new)
        tower.weights, spare = spare, tower.weights
        tower.epoch = epoch

    tower.update = update  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant spare_is_two_updates_old", tower=load)
