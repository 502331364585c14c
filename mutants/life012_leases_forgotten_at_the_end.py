"""Ours: a request that ends drops what it had to ask of its leases, though its last step is not settled and others share
its rows."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-009", "LIFE-012")


class Forgets(Embedder):
    def finish(self, request_id: RequestId) -> None:
        for known in self._request(request_id).fresh:
            known.features = ()
        super().finish(request_id)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life012_leases_forgotten_at_the_end", embed=Forgets
)
