"""Ours, after B114 (SGLang #38395): copies on the host are declared, and a retraction gives the leases back without any."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId, Retention

BUG = "B114"
PARENT = "optimized"
ACCEPT = ("LIFE-011",)


class NoCopies(Embedder):
    def retract(self, request_id: RequestId) -> None:
        super().retract(request_id)
        for feature in self.features(self._request(request_id).items):
            feature.release()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant life011_no_copy_on_the_host",
    embed=NoCopies,
    retention=Retention.HOST,
)
