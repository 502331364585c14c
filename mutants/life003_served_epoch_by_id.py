"""Ours: the epoch that an id was served under outlives its request, so the next one with that id is told that the
weights changed under it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Cache, Encoder, Prepared, RequestId, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-003", "EPOCH-002")


class EpochById(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.served: dict[RequestId, int | None] = {}

    def finish(self, request_id: RequestId) -> None:
        self.served[request_id] = self._request(request_id).epoch
        super().finish(request_id)

    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        self._requests[prepared.request_id].epoch = self.served.get(prepared.request_id)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life003_served_epoch_by_id", embed=EpochById
)
