"""An empty span is skipped as harmless, though it says that the caller lost count."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Request, Span

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-006",)


class SkipsEmpty(Preparer):
    def validated(self, request: Request) -> Draft:
        items = tuple(replace(item, spans=tuple(filter(self.is_used, item.spans))) for item in request.items)
        return super().validated(replace(request, items=items))

    def is_used(self, span: Span) -> bool:
        return span[0] != span[1]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant empty spans allowed",
    prepare=SkipsEmpty,
)
