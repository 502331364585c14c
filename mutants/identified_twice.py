"""Each request is identified once to look whether its images are known and once more to be prepared: two hashes over
36 MiB."""

import dataclasses

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-011",)


class Twice(Preparer):
    def draft(self, request: Request, seen: set[str]) -> Draft | Failure:
        draft = super().draft(request, seen)
        if isinstance(draft, Draft):
            self.identify(draft.items)
        return draft


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant identified twice",
    prepare=Twice,
)
