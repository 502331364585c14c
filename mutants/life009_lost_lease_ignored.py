"""Ours: settling keeps rows of fenced payloads out of the cache, and tells nobody."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk, Failure

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-009",)


class Silent(EmbedStep):
    def settle(self) -> list[Failure]:
        super().settle()
        return []


class Ignores(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        return Silent(self, step.results, step._fresh, step._used)


implementation = dataclasses.replace(optimized.implementation, name="mutant life009_lost_lease_ignored", embed=Ignores)
