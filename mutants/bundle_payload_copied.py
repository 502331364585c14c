"""The images of a bundle are copied out of it, 36 MiB at a time, where views would do."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-016",)


class Copies(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        images = list(super().split(item, layout, where))
        for image in images:
            copied = image.payload.clone() if len(images) > 1 and isinstance(image.payload, Tensor) else image.payload
            yield replace(image, payload=copied)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant bundle payload copied",
    prepare=Copies,
)
