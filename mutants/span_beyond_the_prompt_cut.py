"""B111's kin (vLLM #10388): a span may end one position after the prompt, where a slice is cut without a word."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-006",)


class CutSpans(Preparer):
    def layout(self, item: Item, where: str, length: int) -> Layout:
        ends = isinstance(item.spans, tuple) and item.spans and isinstance(item.spans[-1], tuple) and item.spans[-1][1:]
        return super().layout(item, where, length + (ends == (length + 1,)))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant span beyond the prompt cut",
    prepare=CutSpans,
)
