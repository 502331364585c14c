"""B099, SGLang #14970, in a processor's output: spans are found without the grids, so that two images side by side share one."""

from __future__ import annotations

import dataclasses

import numpy as np

import optimized
from optimized.collect import Collector
from optimized.tokens import Integers
from plumbline.interface import Span

BUG = "B099"
PARENT = "optimized"
ACCEPT = ("PREP-018",)


class JoinsNeighbours(Collector):
    def spans(self, positions: Integers, rows: Integers) -> tuple[Span, ...]:
        whole: Integers = np.array([rows.sum()])
        return super().spans(positions, whole)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b099_spans_across_images", collect=JoinsNeighbours
)
