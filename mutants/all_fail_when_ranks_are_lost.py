"""vLLM #55952 (closed, for #55546): once an engine core is dead, every request of every server is refused with
EngineDeadError, those that need nothing of it too; sglang #36944 (merged) contains such failures in the requests that
they concern.

Carried over: once ranks are lost, a step is not even planned: all of its chunks fail.

Shows with ranks, one of which ended or was silent for too long: chunks of text, and of items whose rows are cached or
held here, fail with RanksLost, although they need nobody; and chunks that are out of range, of requests that nobody
admitted, or of other weights get RanksLost where BadChunk, UnknownRequest and EpochChanged are due.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk, Failure

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-007", "CHUNK-005")


class DeadEmbedder(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        lost = self.ranks._lost if self.ranks is not None else None
        if lost is None:
            return super().step(chunks)
        failures = [Failure(chunk.request_id, lost.with_traceback(None)) for chunk in chunks]
        return EmbedStep(self, failures, [], [])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant all_fail_when_ranks_are_lost", embed=DeadEmbedder
)
