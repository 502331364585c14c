"""An extra of one stored number and a stride of 0 claims terabytes, which are allocated to hash it. Kin of B121."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import unusable
from optimized.prepare import Preparer

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-015", "ISO-003", "ISO-004")


class Trusting(Preparer):
    def is_foreign(self, tensor: Tensor) -> bool:
        return bool(unusable(tensor)) or tensor.device.type != "cpu"


implementation = dataclasses.replace(optimized.implementation, name="mutant stretched_extras_read", prepare=Trusting)
