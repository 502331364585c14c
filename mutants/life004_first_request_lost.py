"""Ours: the second admission of an id is refused, after the first request was cleared to make room for it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import DuplicateRequest, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-004",)


class Clears(Embedder):
    def admit(self, prepared: Prepared) -> None:
        try:
            super().admit(prepared)
        except DuplicateRequest:
            self.finish(prepared.request_id)
            raise


implementation = dataclasses.replace(optimized.implementation, name="mutant life004_first_request_lost", embed=Clears)
