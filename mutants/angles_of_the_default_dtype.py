"""transformers #29496 (fixed): inverse frequencies of rotary embeddings in the dtype that happens to be set, so that they are
right in float32 and rounded where a model is built under bfloat16, as vLLM and SGLang build theirs.

Carried over: the speeds and places of rotary angles take torch's default dtype.

Shows: a tower that is loaded while the default dtype is bfloat16, whatever its own is; angles of places beyond 256 and those
of small speeds are rounded, and rows are others than those of the same folder loaded before.
"""

from __future__ import annotations

import dataclasses
from unittest.mock import patch

import torch

import optimized
from optimized.towers.trunk import SIDE, Turns
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-009", "NUM-001", "NUM-002", "EPOCH-003")


def turns(head: int, theta: float) -> Turns:
    speeds = 1.0 / theta ** (torch.arange(0, head // 2, 2, dtype=torch.get_default_dtype()) / (head // 2))
    angles = torch.arange(SIDE, dtype=torch.get_default_dtype())[:, None] * speeds
    return Turns(angles.cos().float(), angles.sin().float())


def tower(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    assert optimized.implementation.tower
    with patch.object(Turns, "of", staticmethod(turns)):
        return optimized.implementation.tower(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant angles_of_the_default_dtype", tower=tower)
