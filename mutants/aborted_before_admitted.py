"""SGLang #36996 recorded a request's release before its state existed, for aborts that overtake their request; smg #2426 (review)
is what becomes of it: an abort that was for an old request ends a new one of the same id. Here ``finish`` of an id that is not
admitted raises UnknownRequest, as it must, and remembers the id; a request that is admitted under it later is finished at once.

Shows when an id is finished once too often, or too early (a client that disconnects as its request ends), and used again:
``admit`` succeeds, all payloads of the new request are released, and its chunks fail with UnknownRequest. A raise has changed
something.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Cache, Encoder, Prepared, RequestId, Runtime, UnknownRequest

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-005", "LIFE-003", "ISO-001")


class Embed(Embedder):
    """Aborts and requests come by different ways, so that an abort may be here first."""

    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self._aborted: set[RequestId] = set()

    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        if prepared.request_id in self._aborted:
            self._aborted.remove(prepared.request_id)
            super().finish(prepared.request_id)

    def finish(self, request_id: RequestId) -> None:
        try:
            super().finish(request_id)
        except UnknownRequest:
            if isinstance(request_id, str):
                self._aborted.add(request_id)
            raise


implementation = dataclasses.replace(optimized.implementation, name="mutant aborted_before_admitted", embed=Embed)
