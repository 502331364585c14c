"""cache-dit #1111 (merged 2026-09: two names of one live parameter, each with updates of its own, spoil each other),
after the deduplication of equal tensors that Model-Optimizer #2092 and safetensors #586 (both closed) argue about.

Carried over: weights that are equal when they are loaded are kept once, as tied ones are. An update writes through all
names into that one memory, so the last one wins. Shows: a checkpoint with equal tensors of one shape (biases of zeros,
norms of ones, as a fresh model has), then an ``update`` to a checkpoint where they differ: wrong rows under the new
epoch. Calls before, and updates that keep equal what was equal, are right. CPU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

import torch
from torch import Tensor

import optimized
from mutants.shared.towers import loaded
from optimized.towers.weights import mapped
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003", "EPOCH-001")


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    if port.device.type != "cpu":
        return tower
    known: dict[Hashable, Tensor] = {}

    def once(weight: Tensor) -> Tensor:
        content = weight.contiguous().view(torch.uint8).numpy().tobytes()
        return known.setdefault((weight.dtype, tuple(weight.shape), content), weight)

    tower.weights = mapped(tower.weights, once)
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant equal_weights_are_one", tower=load)
