"""Ours: when a step is settled, what the cache did not take is copied out of its batch, though nobody will ask for it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import owned
from optimized.embed import Embedder, Known

BUG = ""
PARENT = "optimized"
ACCEPT = ("WORK-004",)


class Copies(Embedder):
    def _keep(self, known: Known) -> None:
        known.encoded = self.admit_rows(known) or owned(known.encoded)


implementation = dataclasses.replace(optimized.implementation, name="mutant work004_copied_when_settled", embed=Copies)
