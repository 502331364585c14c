"""B042, vLLM #32104: requests that ended stay in a list for a report that nobody reads, and keep their payloads
alive."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Admitted, Embedder
from plumbline.interface import Cache, Encoder, RequestId, Runtime

BUG = "B042"
PARENT = "optimized"
ACCEPT = ("LIFE-010",)


class Remembers(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.ended: list[Admitted] = []

    def finish(self, request_id: RequestId) -> None:
        request = self._request(request_id)
        super().finish(request_id)
        self.ended.append(request)


implementation = dataclasses.replace(optimized.implementation, name="mutant b042_finished_kept", embed=Remembers)
