"""The slices of an image are joined into one tensor while it is prepared, because one tensor is easier to send.
Attention then runs across slices."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import torch

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-013", "IDENT-004")


class JoinsTiles(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        parts = self.parts(item, layout, where)
        for image in super().split(item, layout, where):
            yield image if layout.has_grid or len(parts) == 1 else replace(image, payload=torch.cat(parts))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant tiles joined",
    prepare=JoinsTiles,
)
