"""vLLM #45199, #39544 in kind: what a request holds of an item is freed in a step that it has no chunk in, and the item is
encoded again when its turn comes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-003",)


class ForgetsWhoWaits(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        here = {chunk.request_id for chunk in chunks}
        for request_id, request in self._requests.items():
            if request_id not in here:
                self._drop(request, list(request.held))
        return super().step(chunks)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant chunk003_dropped_while_others_run", embed=ForgetsWhoWaits
)
