"""Ours: payloads are opened when their request is admitted, so that the first step need not wait."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-007",)


class OpensEarly(Embedder):
    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        for feature in self.features(prepared.items):
            feature.open(self.empty.rows.device)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life007_opened_at_admission", embed=OpensEarly
)
