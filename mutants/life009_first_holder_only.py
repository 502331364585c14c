"""Ours: of several requests that share rows of a fenced payload, only the one that it came with is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk, Failure

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-009",)


class FirstOnly(EmbedStep):
    def settle(self) -> list[Failure]:
        return super().settle()[:1]


class TellsOne(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        return FirstOnly(self, step.results, step._fresh, step._used)


implementation = dataclasses.replace(optimized.implementation, name="mutant life009_first_holder_only", embed=TellsOne)
