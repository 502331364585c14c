"""JinaVL's kin (vLLM #53553): identities are dealt out in turn, and those behind one that failed are left for the next
request, whose images get a stranger's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Identity, PlumblineError, Prepared, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-002", "PREP-006")


class Shifted(Preparer):
    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        seen: set[str] = set()
        drafts = [self.draft(request, seen) for request in requests]
        found = iter(self.identify([item for draft in drafts if isinstance(draft, Draft) for item in draft.items]))
        return [self.dealt(draft, found) if isinstance(draft, Draft) else draft for draft in drafts]

    def dealt(self, draft: Draft, found: Iterator[Identity | PlumblineError]) -> Prepared | Failure:
        mine: list[Identity | PlumblineError] = []
        for one in islice(found, len(draft.items)):
            mine.append(one)
            if isinstance(one, PlumblineError):
                break
        return self.prepared(draft, mine)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant identities shift after a failure",
    prepare=Shifted,
)
