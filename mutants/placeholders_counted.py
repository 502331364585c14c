"""vLLM #57740: placeholders and positions of spans are compared by their number, so a span that lies one token too early
passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadSpans, Layout, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-007",)


class Counted(Preparer):
    def check_positions(self, request: Request, layouts: Sequence[Layout], where: str) -> None:
        try:
            super().check_positions(request, layouts, where)
        except BadSpans as error:
            if "overlap" in error.what or not self.same_number(request, layouts):
                raise

    def same_number(self, request: Request, layouts: Sequence[Layout]) -> bool:
        positions = sum(hi - lo for item in request.items for lo, hi in item.spans)
        return positions == sum(int((request.token_ids == one).sum()) for one in {x.placeholder_id for x in layouts})


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant placeholders counted",
    prepare=Counted,
)
