"""An item without a payload is taken for one without rows, so a payload that was forgotten on the way is an empty
picture."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import torch

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-013",)


class Empties(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        if item.payload is None and not item.spans:
            dtype = sorted(self.spec.payload_dtypes, key=str)[0]
            item = replace(item, payload=torch.empty(0, *layout.patch_shape, dtype=dtype))
        return super().split(item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant missing payload becomes empty",
    prepare=Empties,
)
