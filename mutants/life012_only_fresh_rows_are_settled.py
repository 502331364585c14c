"""Ours: a step answers for what it encoded, and not for rows of the step before that it used and that nobody has settled yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-009", "LIFE-012")


class OwnRowsOnly(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        step._used = [(request_id, known) for request_id, known in step._used if known in step._fresh]
        return step


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life012_only_fresh_rows_are_settled", embed=OwnRowsOnly
)
