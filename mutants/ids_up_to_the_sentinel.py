"""vLLM #22471 and #9634 (merged; the review says off by one), dynamo #12798 and #12830: ids of a prompt are checked
against one largest id, raised so that sentinels beyond the text vocabulary pass; what lies between passes too.

Carried over: instead of asking of each id whether it is text or a placeholder, the largest id of the prompt is compared
with the largest that may occur: of the vocabulary and of the placeholders of the media that the request has.

Shows when a placeholder lies beyond the vocabulary with room between (or above another modality's), and a request with such
an item has a text id in that room. It is prepared, served, and its id then makes ``merge`` raise BadTokens for the
whole step, with all the good requests in it.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.prepare import Draft, Preparer
from optimized.tokens import Integers, ids_of
from plumbline.interface import BadTokens, Item, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-014",)


class LargestIdPreparer(Preparer):
    def validated(self, request: Request) -> Draft:
        where = f"request {request.request_id}"
        ids = ids_of(request.token_ids, where)
        layouts = [self.layout(item, f"{where}, item {index}", len(ids)) for index, item in enumerate(request.items)]
        self.check_positions(request, layouts, where)
        self.check_ids(ids, [layout.placeholder_id for layout in layouts], where)
        items: list[Item] = []
        for index, (item, layout) in enumerate(zip(request.items, layouts, strict=True)):
            items += self.split(item, layout, f"{where}, item {index}")
        return Draft(request, tuple(items))

    def check_ids(self, ids: Integers, placeholders: list[int], where: str) -> None:
        """Two reductions, and nothing allocated."""
        largest = max(self.spec.vocab_size - 1, *placeholders, 0)
        if ids.min() < 0 or ids.max() > largest:
            at = int(ids.argmin() if ids.min() < 0 else ids.argmax())
            raise BadTokens(f"id {ids[at]} is outside the vocabulary", where=f"{where}, position {at}")


implementation = dataclasses.replace(
    optimized.implementation, name="mutant ids_up_to_the_sentinel", prepare=LargestIdPreparer
)
