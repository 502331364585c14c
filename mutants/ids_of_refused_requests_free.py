"""The id of a request that was refused counts as free for the next one of its call, and the results of both bear it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-009",)


class Free(Preparer):
    def draft(self, request: Request, seen: set[str]) -> Draft | Failure:
        mine = set(seen)
        draft = super().draft(request, mine)
        if isinstance(draft, Draft):
            seen |= mine
        return draft


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant ids of refused requests free",
    prepare=Free,
)
