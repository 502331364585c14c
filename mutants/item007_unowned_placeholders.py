"""B115 (SGLang #37097): tokenising a decoded prompt again leaves placeholders that belong to no item. Only what
spans cover is looked at, so they pass."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

import optimized
from optimized.prepare import Preparer

BUG = "B115"
PARENT = "optimized"
ACCEPT = ("ITEM-007",)


class CoveredOnly(Preparer):
    def raise_bad_position(self, at: int, covered: NDArray[np.bool_], placeholder: int, where: str) -> None:
        if covered[at]:
            super().raise_bad_position(at, covered, placeholder, where)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant item007_unowned_placeholders", prepare=CoveredOnly
)
