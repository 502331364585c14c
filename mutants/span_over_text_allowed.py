"""B115 (SGLang #37097): spans that were taken before the ids changed are not compared with them, so an image's row
replaces a word."""

import dataclasses
from typing import Any

import optimized
from optimized.prepare import Preparer

BUG = "B115"
PARENT = "optimized"
ACCEPT = ("ITEM-007",)


class OverText(Preparer):
    def raise_bad_position(self, at: int, covered: Any, placeholder: int, where: str) -> None:
        if not covered[at]:
            super().raise_bad_position(at, covered, placeholder, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant span over text allowed",
    prepare=OverText,
)
