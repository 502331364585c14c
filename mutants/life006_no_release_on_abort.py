"""B051's kin (SGLang #37005): a request that ends before its first chunk does not release its payloads."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = "B051"
PARENT = "optimized"
ACCEPT = ("LIFE-006",)


class ReleasesOnSuccess(Embedder):
    def finish(self, request_id: RequestId) -> None:
        request = self._request(request_id)
        if request.epoch is None:
            request.items = ()
        super().finish(request_id)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life006_no_release_on_abort", embed=ReleasesOnSuccess
)
