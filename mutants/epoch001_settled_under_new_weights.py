"""B026's kin (vLLM #44910): rows enter the cache under the epoch in which their step is settled, not that in which it
was encoded."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Known
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-001",)


class Late(Embedder):
    def admit_rows(self, known: Known) -> Encoded | None:
        known.epoch = self.epoch
        return super().admit_rows(known)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant epoch001 settled under new weights",
    embed=Late,
)
