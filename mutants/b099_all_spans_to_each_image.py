"""B099 (SGLang #14970): the list of all spans of a modality is given to every image of the bundle."""

import dataclasses

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Span

BUG = "B099"
PARENT = "optimized"
ACCEPT = ("PREP-001",)


class AllSpans(Preparer):
    def divide_spans(self, spans: tuple[Span, ...], rows: list[int], where: str) -> list[tuple[Span, ...]]:
        return [spans] * len(super().divide_spans(spans, rows, where))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b099 all spans to each image",
    prepare=AllSpans,
)
