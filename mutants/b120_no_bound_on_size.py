"""B120 (SGLang #6239): nothing bounds the visual work of one request before it is scheduled, so one poster takes the
memory of all."""

import dataclasses

import optimized
from optimized.prepare import Preparer

BUG = "B120"
PARENT = "optimized"
ACCEPT = ("PREP-010",)


class Unbounded(Preparer):
    def check_sizes(self, sizes: list[int], where: str) -> None:
        pass


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b120 no bound on size",
    prepare=Unbounded,
)
