"""Ours: retraction does not forget the epoch, so the request fails with EpochChanged for ever."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-002", "LIFE-001")


class Unforgiving(Embedder):
    def retract(self, request_id: RequestId) -> None:
        epoch = self._request(request_id).epoch
        super().retract(request_id)
        self._requests[request_id].epoch = epoch


implementation = dataclasses.replace(
    optimized.implementation, name="mutant epoch002_kept_by_retract", embed=Unforgiving
)
