"""B114, SGLang #38395, behind a cache: a lazy payload is released as soon as the cache has its rows, and the lease that
was declared to be kept is gone. A retraction goes well until the cache evicts them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, Known
from plumbline.interface import Encoded

BUG = "B114"
PARENT = "optimized"
ACCEPT = ("LIFE-011",)


class ReleasesCached(Embedder):
    def settle(self, waiting: Sequence[Known]) -> None:
        self.read = {known: known.features for known in waiting}
        super().settle(waiting)

    def admit_rows(self, known: Known) -> Encoded | None:
        cached = super().admit_rows(known)
        if cached is not None:
            for feature in self.read[known]:
                feature.release()
        return cached


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b114_released_once_cached", embed=ReleasesCached
)
