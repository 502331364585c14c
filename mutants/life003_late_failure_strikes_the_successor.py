"""vLLM #23697, #24382, SGLang #38850: what an old step reports late is done to the new request with the same id."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import optimized
from optimized.embed import Admitted, Embedder, EmbedStep
from plumbline.interface import Chunk, Failure, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-003", "LIFE-012", "EPOCH-002", "ISO-001")


class Late:
    def __init__(self, embed: Embedder, step: EmbedStep, then: Mapping[RequestId, Admitted]) -> None:
        self.embed, self.step, self.then, self.results = embed, step, then, step.results

    def settle(self) -> list[Failure]:
        failures = self.step.settle()
        for failure in failures:
            now = self.embed._requests.get(failure.request_id)
            if now is not None and now is not self.then.get(failure.request_id):
                now.epoch = -1  # as a request that is to be sent back
        return failures


class ByName(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> Late:  # type: ignore[override]
        then = dict(self._requests)
        return Late(self, super().step(chunks), then)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life003_late_failure_strikes_the_successor", embed=ByName
)
