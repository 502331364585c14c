"""Ours, seed S2: the payload is moved by the driver, and then again by a tower that moves its input."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-001",)


class AlwaysMoves(PackingEncoder):
    def pack(self, parts: Sequence[Tensor]) -> Tensor:
        return self.port.move(super().pack(parts)) if self.spec.moves_input else super().pack(parts)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant move001_moved_before_the_tower", encoder=AlwaysMoves
)
