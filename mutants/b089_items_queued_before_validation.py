"""B089 (vLLM #46354): something is entered before the request that it belongs to is validated. Here the items of a
request wait to be hashed; when a later item is refused, those before it stay in the queue, and the requests after it
get identities that are shifted."""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Item, Layout, Prepared, Request

BUG = "B089"
PARENT = "optimized"
ACCEPT = ("ISO-002", "IDENT-002", "IDENT-003")


class QueuesEarly(Preparer):
    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        self.queue: list[Item] = []
        seen: set[str] = set()
        drafts = [self.draft(request, seen) for request in requests]
        found = iter(self.identify(self.queue))
        return [
            self.prepared(draft, list(islice(found, len(draft.items)))) if isinstance(draft, Draft) else draft
            for draft in drafts
        ]

    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        for image in super().split(item, layout, where):
            self.queue.append(image)
            yield image


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b089 items queued before validation",
    prepare=QueuesEarly,
)
