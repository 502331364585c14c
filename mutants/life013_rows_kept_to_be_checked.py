"""Ours: a request remembers what it has to ask its leases for until it finishes, and with it the rows that it was served."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Admitted, Embedder, Known
from plumbline.interface import Cache, Encoded, Encoder, RequestId, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-013",)


class Remembers(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.read: dict[int, list[Known]] = {}

    def _fresh(self, key: tuple[bytes, int], request: Admitted, index: int, encoded: Encoded) -> Known:
        known = super()._fresh(key, request, index, encoded)
        self.read.setdefault(id(request), []).append(known)
        return known

    def finish(self, request_id: RequestId) -> None:
        self.read.pop(id(self._requests.get(request_id)), None)
        super().finish(request_id)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life013_rows_kept_to_be_checked", embed=Remembers
)
