"""B045 (verifiers #1653): spans that are left over when the rows are dealt out are dropped, so placeholders without
pixels reach the model and nobody says so."""

import dataclasses

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Span

BUG = "B045"
PARENT = "optimized"
ACCEPT = ("ITEM-002",)


class DropsSpans(Preparer):
    def divide_spans(self, spans: tuple[Span, ...], rows: list[int], where: str) -> list[tuple[Span, ...]]:
        due = sum(rows)
        while len(spans) > 1 and sum(hi - lo for lo, hi in spans[:-1]) >= due:
            spans = spans[:-1]
        return super().divide_spans(spans, rows, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b045 surplus spans ignored",
    prepare=DropsSpans,
)
