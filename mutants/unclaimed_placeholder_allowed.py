"""B045 (verifiers #1653): a placeholder that belongs to no item passes, and is answered from noise."""

import dataclasses
from typing import Any

import optimized
from optimized.prepare import Preparer

BUG = "B045"
PARENT = "optimized"
ACCEPT = ("ITEM-007",)


class Unclaimed(Preparer):
    def raise_bad_position(self, at: int, covered: Any, placeholder: int, where: str) -> None:
        if covered[at]:
            super().raise_bad_position(at, covered, placeholder, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant unclaimed placeholder allowed",
    prepare=Unclaimed,
)
