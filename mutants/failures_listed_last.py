"""B081 (rtp-llm #1079), repaired badly: the requests that can go on come first and the failures last, while the
caller matches results by position."""

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Failure, Prepared, Request

BUG = "B081"
PARENT = "optimized"
ACCEPT = ("PREP-006",)


class FailuresLast(Preparer):
    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        return sorted(super().__call__(requests), key=lambda one: isinstance(one, Failure))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant failures listed last",
    prepare=FailuresLast,
)
