"""What the cache raises when there is no memory for a copy comes out of settling, in the middle of the step's other rows."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Known

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-015",)


class Raises(Embedder):
    def _try_to_keep(self, known: Known) -> None:
        self._keep(known)


implementation = dataclasses.replace(optimized.implementation, name="mutant cache015_settling_raises", embed=Raises)
