"""unsloth-zoo #365 (merged) and #1290 (open): an MLP in tiles of as many rows as its input is wide, so that its peak
of memory is bounded, and one tile more of what the division leaves over.

Carried over: so does the tower's MLP. The last tile is small, and all tiles may be smaller than ``row_floor``. Shows:
calls of more patches than the tower's hidden size. "Each linear gets at least so many rows" no longer holds for up and
down of each layer; and where a library adds up in other orders for few rows, a row's bits depend on where in the call
it lies, so on the company. Rows are right within rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import optimized
from mutants.shared.towers import loaded
from optimized.towers.weights import Block
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-001",)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower: Any = loaded(checkpoint, port)
    mlp: Callable[[Tensor, Block], Tensor] = tower.mlp

    def tiled(x: Tensor, block: Block) -> Tensor:
        rows = x.shape[1]
        if len(x) <= rows:
            return mlp(x, block)
        return torch.cat([mlp(tile, block) for tile in torch.split(x, rows)])

    tower.mlp = tiled
    found: LoadedTower = tower
    return found


implementation = dataclasses.replace(optimized.implementation, name="mutant rest_of_the_tiled_mlp", tower=load)
