"""mssql-jdbc #1767, #1768 and apache/paimon #4016 (a batch is emptied behind the work and not in a ``finally``: after an
exception the next batch is appended to the old one): items wait in a list for one identify call, and stay there if it raises.

Shows: ``identify`` raises something (a caller's own identifier, a timeout's signal, KeyboardInterrupt, torch on a payload
whose storage was freed), the caller goes on, and the next call has items. They get the identities and prefix keys of the
images that were left, so another request's rows. A preparer that never saw a raise is right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import islice

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Identify, Item, Prepared, Request, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-024",)


class WaitingPreparer(Preparer):
    """waiting: items of the validated requests, to be identified together."""

    def __init__(self, runtime: Runtime, identify: Identify) -> None:
        super().__init__(runtime, identify)
        self.waiting: list[Item] = []

    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        seen: set[str] = set()
        drafts = []
        for request in requests:
            draft = self.draft(request, seen)
            if isinstance(draft, Draft):
                self.waiting += draft.items
            drafts.append(draft)
        found = iter(self.identify(self.waiting))
        results = [
            self.prepared(draft, list(islice(found, len(draft.items)))) if isinstance(draft, Draft) else draft
            for draft in drafts
        ]
        self.waiting = []
        return results


implementation = dataclasses.replace(
    optimized.implementation, name="mutant items_left_waiting", prepare=WaitingPreparer
)
