"""Ours: a request belongs to the epoch that it was admitted under, so it fails although it was served nothing."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-002", "ISO-001")


class Stamped(Embedder):
    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        self._requests[prepared.request_id].epoch = self.epoch


implementation = dataclasses.replace(
    optimized.implementation, name="mutant epoch002_stamped_at_admission", embed=Stamped
)
