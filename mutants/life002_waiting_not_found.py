"""B092's kin (vLLM #12545): a request is known from its first chunk on, so one that is aborted in the queue is
unknown."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId, UnknownRequest

BUG = "B092"
PARENT = "optimized"
ACCEPT = ("LIFE-002",)


class KnownByChunk(Embedder):
    def finish(self, request_id: RequestId) -> None:
        if self._request(request_id).epoch is None:
            raise UnknownRequest("the request has no state", where=f"request {request_id}")
        super().finish(request_id)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life002_waiting_not_found", embed=KnownByChunk
)
