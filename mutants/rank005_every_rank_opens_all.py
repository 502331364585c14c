"""Ours, as engines did before data parallelism: every rank encodes everything."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Cache, Encoder, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-005",)


class Everything(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.encoder = encoder


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank005_every_rank_opens_all", embed=Everything
)
