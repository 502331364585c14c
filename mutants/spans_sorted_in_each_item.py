"""Spans are sorted because lists of spans always are. Where the rows of an item do not ascend along the prompt, they
land in each other's place."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-001",)


class SortsSpans(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        for image in super().split(item, layout, where):
            yield replace(image, spans=tuple(sorted(image.spans)))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant spans sorted in each item",
    prepare=SortsSpans,
)
