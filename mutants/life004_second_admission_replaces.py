"""Ours: admitting an id that is in use replaces the first request."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-004",)


class Replaces(Embedder):
    def admit(self, prepared: Prepared) -> None:
        if prepared.request_id in self._requests:
            self._drop(self._requests[prepared.request_id], list(self._requests[prepared.request_id].held))
            del self._requests[prepared.request_id]
        super().admit(prepared)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life004_second_admission_replaces", embed=Replaces
)
