"""After B120 (SGLang #6239): the bound for one item is applied to the sum of a bundle's images, so several small
images are refused for being together."""

import dataclasses

import optimized
from optimized.prepare import Preparer

BUG = "B120"
PARENT = "optimized"
ACCEPT = ("ISO-001", "PREP-010")


class WholeBundle(Preparer):
    def check_sizes(self, sizes: list[int], where: str) -> None:
        super().check_sizes([sum(sizes)], where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant bound on whole bundle",
    prepare=WholeBundle,
)
