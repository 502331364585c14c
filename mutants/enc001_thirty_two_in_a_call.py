"""vLLM #35963, #50929 in kind: a batcher knows 32 items of a call apart, by the five low bits of their numbers."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "ENC-001",
    "ENC-009",
    "CHUNK-004",
    "ITEM-001",
)


class KnowsThirtyTwo(PackingEncoder):
    def split(self, encoded: Encoded, counts: list[int]) -> list[Encoded]:
        results = super().split(encoded, counts)
        return [results[at % 32] if counts[at % 32] == count else results[at] for at, count in enumerate(counts)]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc001_thirty_two_in_a_call", encoder=KnowsThirtyTwo
)
