"""TensorRT-LLM #16554 (merged 2026-07; embeddings cache with an encoder side stream): multimodal data of all requests went to the
device before the cache was asked; in review: "we don't need to send the multimodal_data for the cache hit".

Carried over: a step begins the moves of all lazy payloads that its chunks show, so that they run while the rest is looked up.
Rows are right, and an error is left to the encoder, which opens again what it needs.

Shows when a chunk needs an item with a lazy payload whose rows are at hand already (cached, held by another request, or equal to
an item of the same step that is encoded from its own payload): the payload is opened and moved for nothing, and stays on the
device until the request is finished.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, Key, Known, Plan, Wanted
from plumbline.interface import Cache, Encoder, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-007",)


class PrefetchingEmbedder(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.device = runtime.port.device

    def _find(self, plans: Sequence[Plan]) -> tuple[dict[Key, Known], dict[Key, list[Wanted]]]:
        if self.ranks is None:  # else each rank opens its share only
            needed = [plan.request.items[index] for plan in plans for index in plan.needs]
            for feature in self.features(needed):
                with contextlib.suppress(Exception):
                    feature.open(self.device)
        return super()._find(plans)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant opened_before_looked_up", embed=PrefetchingEmbedder
)
