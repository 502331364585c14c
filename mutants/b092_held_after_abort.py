"""B092, vLLM #12545: rows that an aborted request holds are never let go. They fill memory, and outlive their
weights."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = "B092"
PARENT = "optimized"
ACCEPT = ("LIFE-002", "LIFE-010", "EPOCH-001")


class KeepsAborted(Embedder):
    def finish(self, request_id: RequestId) -> None:
        self._request(request_id).held.clear()
        super().finish(request_id)


implementation = dataclasses.replace(optimized.implementation, name="mutant b092_held_after_abort", embed=KeepsAborted)
