"""vLLM #37827, #49250: what failed to load is taken back from the request that loaded it, and not from one that shares it.

Carried over: rows whose payload turned out to be fenced are forgotten by the requests of the step that encoded them, and
not looked for in every admitted request. Shows: steps overlap. Step 1 encodes an item for request A; step 2 begins, and B
takes the same rows from what A holds; the lease is fenced; step 1 is settled (A fails), step 2 is settled (B fails). B still
holds the rows: B's next chunk, and those of everybody who sends this image while B is there, are made of them, and nothing
fails any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep, Known
from plumbline.interface import Chunk, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-010", "LIFE-009", "LIFE-012")


class Embed(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        for known in step._fresh:
            known.users = [request_id for request_id, one in step._used if one is known]  # type: ignore[attr-defined]
        return step

    def _forget(self, known: Known) -> None:
        users: list[RequestId] = known.users  # type: ignore[attr-defined]
        for request in [self._requests[request_id] for request_id in users if request_id in self._requests]:
            self._drop(request, [item for item, one in request.held.items() if one is known])


implementation = dataclasses.replace(optimized.implementation, name="mutant forgotten_in_own_step", embed=Embed)
