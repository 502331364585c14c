"""vLLM #47644, #28706 in kind: what a step shows lies in one of two sets of buffers, and is overwritten by the step after
the next. A request that has no chunk in between loses its rows."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping, Sequence

from torch import Tensor

import optimized
from optimized.embed import Embedder, EmbedStep, Key, Known, Plan
from plumbline.interface import Cache, Chunk, Encoder, Rows, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-008",)


class TakesTurns(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.shown: tuple[list[weakref.ref[Tensor]], list[weakref.ref[Tensor]]] = ([], [])
        self.turn = 0

    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        self.turn = 1 - self.turn
        for shown in self.shown[self.turn]:
            if (rows := shown()) is not None:
                rows.zero_()
        self.shown[self.turn].clear()
        return super().step(chunks)

    def rows(self, plan: Plan, found: Mapping[Key, Known]) -> Rows:
        made = super().rows(plan, dict(found))
        rows = made.rows.clone()
        self.shown[self.turn].append(weakref.ref(rows))
        return Rows(made.request_id, made.lo, made.hi, made.positions, rows, made.side)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant chunk008_two_buffers_in_turns", embed=TakesTurns
)
