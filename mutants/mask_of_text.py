"""Megatron-LM #6981 (a cached mask is handed out itself, and the caller masks in it in place): most steps decode, and have no
rows. Their mask of zeros is made once for each length.

Shows: the caller writes into the mask of a step without placeholders (adds the positions of another modality or of prompt
embeddings of its own, or pads it), and a later step without placeholders has the same length: its mask is not all False, or
the merge raises torch's RuntimeError for the step. A mask of a step with rows is always fresh.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import optimized
from optimized.merge import Merger
from optimized.rows import Slice
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-008", "MERGE-001", "ISO-003")


class TextMasks(Merger):
    """textual: masks of steps of text only, by length."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.textual: dict[int, NDArray[np.bool_]] = {}

    def mask(self, placed: Sequence[Slice], length: int) -> NDArray[np.bool_]:
        if placed:
            return super().mask(placed, length)
        if length not in self.textual:
            self.textual[length] = np.zeros(length, dtype=bool)
        return self.textual[length]


implementation = dataclasses.replace(optimized.implementation, name="mutant mask_of_text", merge=TextMasks)
