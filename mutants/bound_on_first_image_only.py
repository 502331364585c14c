"""After B120 (SGLang #6239): the bound is asked of the first image of a bundle, and whatever comes after it
passes."""

import dataclasses

import optimized
from optimized.prepare import Preparer

BUG = "B120"
PARENT = "optimized"
ACCEPT = ("PREP-010",)


class FirstOnly(Preparer):
    def check_sizes(self, sizes: list[int], where: str) -> None:
        super().check_sizes(sizes[:1], where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant bound on first image only",
    prepare=FirstOnly,
)
