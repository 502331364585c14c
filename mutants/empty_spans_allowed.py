"""An empty span is skipped as harmless, though it says that the caller lost count."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Item, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-006",)


class SkipsEmpty(Preparer):
    def validated(self, request: Request) -> Draft:
        return super().validated(replace(request, items=tuple(map(self.without_empty, request.items))))

    def without_empty(self, item: Item) -> Item:
        if not isinstance(item.spans, tuple):
            return item
        return replace(item, spans=tuple(span for span in item.spans if not self.is_empty(span)))

    def is_empty(self, span: object) -> bool:
        return isinstance(span, tuple) and len(span) == 2 and span[0] == span[1]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant empty spans allowed",
    prepare=SkipsEmpty,
)
