"""A batch of a store that fails as a whole for one of its keys: Mooncake #551 (review: one key that does not exist ends the
call for all of them), LMCache #4991 (open; one failed key and no key of the batch is accounted for), #3151 (closed; the
same in review).

Carried over: the rows of a step go into the cache together, once all of its payloads are known to have been read whole. If
a lease was lost, nothing of that settling is kept.

Shows when one request's lease is lost between step and settling and another request was encoded in the same step: its rows
are right and served, but they are not in the cache, and its item is opened and encoded again the next time. Held rows also
go on viewing the whole tower call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Embedder, Known
from optimized.ranks import agree_on_errors

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-008",)


class TogetherEmbedder(Embedder):
    def settle(self, waiting: Sequence[Known]) -> None:
        for known in waiting:
            known.check()
        errors = agree_on_errors(self.ranks, [known.lost for known in waiting])
        good: list[Known] = []
        for known, error in zip(waiting, errors, strict=True):
            known.settled, known.lost = True, error
            if error is None:
                good.append(known)
            else:
                self._forget(known)
        if len(good) < len(waiting):
            return
        for known in good:
            self._try_to_keep(known)


implementation = dataclasses.replace(optimized.implementation, name="mutant kept_all_or_none", embed=TogetherEmbedder)
