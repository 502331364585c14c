"""Ours: ranks agree on leases when a step is settled at once, and each alone when the next one has begun meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk, Failure

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-003",)


class Late(EmbedStep):
    def settle(self) -> list[Failure]:
        embed = self._embed
        ranks = embed.ranks
        if isinstance(embed, InTurn) and embed.newest is not self:
            embed.ranks = None
        failures = super().settle()
        embed.ranks = ranks
        return failures


class InTurn(Embedder):
    newest: EmbedStep | None = None

    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        self.newest = Late(self, step.results, step._fresh, step._used)
        return self.newest


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank003_settled_late_by_each_rank", embed=InTurn
)
