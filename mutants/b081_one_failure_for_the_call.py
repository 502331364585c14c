"""B081 (rtp-llm #1079): the error of one request is handed to every request of its batch."""

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Failure, Prepared, Request

BUG = "B081"
PARENT = "optimized"
ACCEPT = ("PREP-006", "ISO-002", "ISO-001")


class AllFail(Preparer):
    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        results = super().__call__(requests)
        bad = next((one for one in results if isinstance(one, Failure)), None)
        return [Failure(one.request_id, bad.error) for one in results] if bad is not None else results


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b081 one failure for the call",
    prepare=AllFail,
)
