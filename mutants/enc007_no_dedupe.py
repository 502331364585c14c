"""Ours, as in SGLang 0.5.12: equal items of one step are encoded once for each request and position."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-007",)


class NoDedupe(Embedder):
    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        request = self._requests[prepared.request_id]
        keys = request.keys
        request.keys = [(*key, prepared.request_id, k) for k, key in enumerate(keys)]  # type: ignore[misc]


implementation = dataclasses.replace(optimized.implementation, name="mutant enc007_no_dedupe", embed=NoDedupe)
