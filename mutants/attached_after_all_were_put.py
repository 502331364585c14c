"""vLLM #28525 (merged, for #26195): in the loop over the images of one request, entering one evicts another that is
still to be fetched, and the fetch finds nothing. FBGEMM #1201 (closed): a later prefetch evicts what an earlier one
brought for its reader.

Carried over: a step's rows are put into the cache in one pass, and in a second one requests are given the cache's own
copies in the place of their views, so that all copies are made before any batch is let go of.

Shows when the rows of one settling do not fit into the cache together, so that a later put evicts an earlier one, and
a request still holds the earlier item, whose rows its chunk did not show to the end (or another request's chunk did
not). It then holds nothing: the next chunk of it, and of whoever else needs that item, is a result whose rows raise
AttributeError when they are read or merged.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

import optimized
from optimized.cache import owned
from optimized.embed import Embedder, Known
from optimized.ranks import agree_on_errors
from plumbline.interface import Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-006", "CACHE-001", "CHUNK-001", "ISO-003")

log = logging.getLogger(__name__)


class TwoPassEmbedder(Embedder):
    def settle(self, waiting: Sequence[Known]) -> None:
        for known in waiting:
            known.check()
        errors = agree_on_errors(self.ranks, [known.lost for known in waiting])
        read: list[Known] = []
        for known, error in zip(waiting, errors, strict=True):
            known.settled, known.lost = True, error
            if error is None:
                read.append(known)
            else:
                self._forget(known)
        taken: set[Known] = set()
        self.each(read, lambda known: taken.add(known) if self.put(known) else None)
        self.each(read, lambda known: self.attach(known, known in taken))

    def each(self, some: Sequence[Known], work: Callable[[Known], None]) -> None:
        for known in some:
            try:
                work(known)
            except Exception as error:
                log.warning("rows of an item were not kept", exc_info=True)
                if self.ranks is not None:
                    self.ranks.lose(error)

    def put(self, known: Known) -> bool:
        if self.cache is None or not known.from_tower or known.epoch != self.epoch:
            return False
        return self.cache.put(Identity(known.key[0]), known.epoch, known.encoded)

    def attach(self, known: Known, taken: bool) -> None:
        if taken:
            assert self.cache is not None
            known.encoded = self.cache.get(Identity(known.key[0]), known.epoch)  # type: ignore[assignment]
        elif known.from_tower and known.holders:
            known.encoded = owned(known.encoded)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant attached_after_all_were_put", embed=TwoPassEmbedder
)
