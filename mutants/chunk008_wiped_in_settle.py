"""B066 in kind (vLLM #28706): the buffer of a step's rows is cleaned for the next step as soon as the host settles,
while the model may still read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk, Failure, Rows

BUG = "B066"
PARENT = "optimized"
ACCEPT = ("CHUNK-008",)


class Wiped:
    def __init__(self, step: EmbedStep) -> None:
        self.step = step
        self.results: Sequence[Rows | Failure] = [
            dataclasses.replace(r, rows=r.rows.clone()) if isinstance(r, Rows) else r for r in step.results
        ]

    def settle(self) -> list[Failure]:
        for result in self.results:
            if isinstance(result, Rows):
                result.rows.zero_()
        return self.step.settle()


class Wipes(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> Wiped:  # type: ignore[override]
        return Wiped(super().step(chunks))


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk008_wiped_in_settle", embed=Wipes)
