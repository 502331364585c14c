"""B091, vLLM #32469: an item that was found in the cache is read again when it is served; rows that the same step
put there may have evicted it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Plan, Wanted
from plumbline.interface import EncodingFailed, Failure, Identity, PlumblineError, Rows, Source

BUG = "B091"
PARENT = "optimized"
ACCEPT = ("CACHE-001", "CACHE-006")


class ReadsLate(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        fresh, errors = super()._encode(missing)
        for known in fresh.values():
            if known.from_tower and not known.features:
                self.settle([known])
        return fresh, errors

    def _serve(self, plan: Plan, found: dict[Key, Known], errors: dict[Key, PlumblineError]) -> Rows | Failure:
        for item in plan.needs:
            key = plan.request.keys[item]
            known = None if key in self._held else found.get(key)
            hit = known is not None and known.settled and not known.from_tower
            from_cache = hit and plan.request.items[item].source is not Source.PRECOMPUTED
            if from_cache and self.cache is not None and self.cache.get(Identity(key[0]), self.epoch) is None:
                return Failure(plan.chunk.request_id, EncodingFailed("the rows are not in the cache"))
        return super()._serve(plan, found, errors)


implementation = dataclasses.replace(optimized.implementation, name="mutant b091_evicted_before_use", embed=ReadsLate)
