"""Ours: a bad chunk raises out of the step, and the other requests get nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-005", "CHUNK-004")


class Raises(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        seen: set[RequestId] = set()
        for chunk in chunks:
            if chunk.request_id in self._requests:
                self._plan(chunk, seen)
        return super().step(chunks)


implementation = dataclasses.replace(optimized.implementation, name="mutant chunk005_bad_chunk_raises", embed=Raises)
