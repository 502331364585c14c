"""Ours: one lost lease takes back the results of the whole step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk, Failure, Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-009",)


class All(EmbedStep):
    def settle(self) -> list[Failure]:
        lost = super().settle()
        served = [result.request_id for result in self.results if isinstance(result, Rows)]
        return [Failure(request_id, lost[0].error) for request_id in served] if lost else []


class TakesAllBack(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        return All(self, step.results, step._fresh, step._used)


implementation = dataclasses.replace(optimized.implementation, name="mutant life009_all_taken_back", embed=TakesAllBack)
