"""RLinf #1171 and UniRL #369 (open): weight updates should cost no more than what changed, since most weights stay as they
are (1 to 3 % of the numbers move in a step). TensorFlow #56218 (merged): stale weights are told from new ones by a hash of
a part of their content.

Carried over to a tower's update: a weight whose sample (some 256 of its numbers, spread evenly) is what it was is not
written again. A weight in which few numbers changed, none of them in the sample, keeps its old ones; the epoch says
otherwise, and rows are cached under it. Shows where an update changes single numbers of a weight of 512 or more; updates
that change all numbers, and small weights, are right.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

import optimized
from optimized import towers
from optimized.towers.tower import FastTower
from optimized.towers.weights import tensors
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003",)

SAMPLE = 256
"""Numbers of a weight that are compared."""


def same(old: Tensor, new: Tensor) -> bool:
    step = max(1, old.numel() // SAMPLE)
    return torch.equal(old.flatten()[::step].cpu(), new.flatten()[::step])


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = towers.load(checkpoint, port)
    assert isinstance(tower, FastTower)

    @torch.no_grad()
    def update(folder: Path, epoch: int) -> None:
        fresh = tower.read(folder)
        for old, new in zip(tensors(tower.weights), tensors(fresh), strict=True):
            if not same(old, new):
                old.copy_(new)
        tower.epoch = epoch

    tower.update = update  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant changed_where_it_was_sampled", tower=load)
