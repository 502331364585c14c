"""TensorRT-LLM #15734 (merged; found in review, twice): what was found in the encoder cache goes through the same
path as what was encoded, and is split, cloned and written back to the entries that it came from.

Carried over: when a step is settled, the rows that it used are written to the cache, those that came from it too,
under the epoch of the moment.

Shows always as needless work: each hit is copied, and pushes out fresh rows of its step where there is little room.
Rows of the old weights are kept under the new epoch, and served from then on with no error, if the weights change
between a step with a hit and its settling. What was evicted, or cleared away, in between comes back.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import optimized
from optimized.embed import Admitted, Embedder, EmbedStep, Known
from plumbline.interface import Cache, Chunk, Encoder, Failure, Identity, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-002", "EPOCH-001")

log = logging.getLogger(__name__)


class WritingStep(EmbedStep):
    hits: Sequence[Known] = ()

    def settle(self) -> list[Failure]:
        failures = super().settle()
        assert isinstance(self._embed, WritingEmbedder)
        self._embed.write(self.hits)
        return failures


class WritingEmbedder(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.hits: list[Known] = []

    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        self.hits = []
        step = super().step(chunks)
        writing = WritingStep(self, step.results, step._fresh, step._used)
        writing.hits = self.hits
        return writing

    def _cached(self, request: Admitted, index: int) -> Known | None:
        known = super()._cached(request, index)
        if known is not None:
            self.hits.append(known)
        return known

    def write(self, hits: Sequence[Known]) -> None:
        """Used rows are the newest ones."""
        try:
            for known in hits:
                if self.cache is not None:
                    self.cache.put(Identity(known.key[0]), self.epoch, known.encoded)
        except Exception as error:
            log.warning("rows of an item were not kept", exc_info=True)
            if self.ranks is not None:
                self.ranks.lose(error)


implementation = dataclasses.replace(optimized.implementation, name="mutant hits_written_back", embed=WritingEmbedder)
