"""B026's kin (trl #7198): a retracted request keeps the rows that it holds, so that it need not encode again, also
where it was retracted because the weights changed."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = "B026"
PARENT = "optimized"
ACCEPT = ("EPOCH-001",)


class Keeps(Embedder):
    def retract(self, request_id: RequestId) -> None:
        self._request(request_id).epoch = None

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


implementation = dataclasses.replace(optimized.implementation, name="mutant epoch001_retract_keeps_rows", embed=Keeps)
