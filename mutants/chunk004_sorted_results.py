"""Ours: the results of a step come sorted by request id."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-004",)


class Sorted(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        step.results = sorted(step.results, key=lambda result: result.request_id)
        return step


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk004_sorted_results", embed=Sorted)
