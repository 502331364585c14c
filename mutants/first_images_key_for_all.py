"""The caller's keys of a bundle are read with the wrong index: all of its images are known by the first one's key."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-001",)


class FirstKey(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        for image in super().split(item, layout, where):
            yield replace(image, given=item.given[:1])


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant first images key for all",
    prepare=FirstKey,
)
