"""Ours: parts are moved one by one, the host's are packed by mistake, and the packed tensor is moved again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-003",)


class MovesTwice(PackingEncoder):
    def pack(self, parts: Sequence[Tensor]) -> Tensor:
        if not self.spec.moves_input:
            _ = [self.port.move(part) for part in parts]
        return super().pack(parts)


implementation = dataclasses.replace(optimized.implementation, name="mutant move003_moved_twice", encoder=MovesTwice)
