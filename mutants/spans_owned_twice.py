"""Spans are collected in a set before they are compared, so a span that two items claim is not seen to overlap, and
one of the two is lost."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Layout, Request, Span

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-006",)


class TwoOwners(Preparer):
    def check_positions(self, request: Request, layouts: Sequence[Layout], where: str) -> None:
        taken: set[Span] = set()
        items = []
        for item in request.items:
            items.append(replace(item, spans=tuple(span for span in item.spans if span not in taken)))
            taken.update(item.spans)
        super().check_positions(replace(request, items=tuple(items)), layouts, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant spans owned twice",
    prepare=TwoOwners,
)
