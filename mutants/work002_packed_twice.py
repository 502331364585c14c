"""Ours: patches are packed, and packed again into a buffer of the call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("WORK-002",)


class Twice(PackingEncoder):
    def pack(self, parts: Sequence[Tensor]) -> Tensor:
        return super().pack([part.clone() for part in parts])


implementation = dataclasses.replace(optimized.implementation, name="mutant work002_packed_twice", encoder=Twice)
