"""TRT-LLM #11805 in kind, a test of a value for truth: a request whose id is the empty text is not found."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Admitted, Embedder
from plumbline.interface import RequestId, UnknownRequest

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "ISO-001",
    "LIFE-002",
)


class Truthful(Embedder):
    def _request(self, request_id: RequestId) -> Admitted:
        if not request_id:
            raise UnknownRequest("no such request is admitted")
        return super()._request(request_id)


implementation = dataclasses.replace(optimized.implementation, name="mutant iso001_empty_id_is_none", embed=Truthful)
