"""vLLM #39544 in kind: a request is preempted before its step is settled, and what it was shown is never asked for again."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-012", "LIFE-009", "CACHE-010")


class Settles(Embedder):
    def retract(self, request_id: RequestId) -> None:
        for known in self._request(request_id).fresh:
            known.settled = True
        super().retract(request_id)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life012_retracted_counts_as_settled", embed=Settles
)
