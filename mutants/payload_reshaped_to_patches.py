"""A payload of another rank or patch shape is reshaped until it fits, so pixels that a caller laid out differently
are read as other patches."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-008",)


class Reshapes(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        payload, last = item.payload, layout.patch_shape[-1]
        if isinstance(payload, Tensor) and payload.dim() and payload.shape[1:] == (*layout.patch_shape, 1):
            item = replace(item, payload=payload.reshape(-1, *layout.patch_shape[:-1], last))
        return super().split(item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant payload reshaped to patches",
    prepare=Reshapes,
)
