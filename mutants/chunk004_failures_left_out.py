"""Ours: a step gives results for the chunks that succeeded, and the others wait for ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk, Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-004",)


class LeavesOut(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        step.results = [result for result in step.results if isinstance(result, Rows)]
        return step


implementation = dataclasses.replace(
    optimized.implementation, name="mutant chunk004_failures_left_out", embed=LeavesOut
)
