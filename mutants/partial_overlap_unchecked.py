"""Spans are compared for equal starts instead of for a common position, so two images of which one begins inside the
other pass."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Layout, Request, Span

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-006",)


class StartsOnly(Preparer):
    def check_positions(self, request: Request, layouts: Sequence[Layout], where: str) -> None:
        spans = sorted(span for item in request.items for span in item.spans)
        shorter: dict[Span, Span] = {}
        for span, after in pairwise(spans):
            shorter[span] = (span[0], min(span[1], after[0])) if span[0] < after[0] else span
        items = [replace(item, spans=tuple(shorter.get(span, span) for span in item.spans)) for item in request.items]
        super().check_positions(replace(request, items=tuple(items)), layouts, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant partial overlap unchecked",
    prepare=StartsOnly,
)
