"""Ours: retracting a request that is not there does nothing, silently."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-005",)


class RetractsAny(Embedder):
    def retract(self, request_id: RequestId) -> None:
        if request_id in self._requests:
            super().retract(request_id)


implementation = dataclasses.replace(optimized.implementation, name="mutant life005_retract_unknown", embed=RetractsAny)
