"""llama.cpp #11875 in kind: which requests have a chunk in a step is kept in 64 bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, Plan
from plumbline.interface import BadChunk, Chunk, Failure

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "CHUNK-004",
    "ENC-001",
    "ISO-001",
)


class SixtyFour(Embedder):
    def _plans(self, chunks: Sequence[Chunk]) -> list[Plan | Failure]:
        too_many = BadChunk("more than 64 chunks in a step")
        rest = [Failure(chunk.request_id, too_many) for chunk in chunks[64:]]
        return [*super()._plans(chunks[:64]), *rest]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant chunk004_sixty_four_in_a_step", embed=SixtyFour
)
