"""B026's kin (verl #6523): a new epoch is taken up once no request is left, though the weights changed before."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Cache, Encoder, RequestId, Runtime

BUG = "B026"
PARENT = "optimized"
ACCEPT = ("EPOCH-001", "EPOCH-002", "CACHE-002")


class WhenIdle(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.waiting: int = 0

    def set_epoch(self, epoch: int) -> None:
        self.waiting = epoch
        if not self._requests:
            super().set_epoch(epoch)

    def finish(self, request_id: RequestId) -> None:
        super().finish(request_id)
        if not self._requests:
            super().set_epoch(self.waiting)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant epoch001_taken_up_when_idle", embed=WhenIdle
)
