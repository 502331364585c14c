"""A bundle of one image is passed on as it is, with the values for each image still in tuples of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-005", "ISO-001", "PREP-001")


class Kept(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        images = list(super().split(item, layout, where))
        return iter([item] if len(images) == 1 else images)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant bundle of one keeps its tuples",
    prepare=Kept,
)
