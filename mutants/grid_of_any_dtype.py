"""A grid of another dtype is converted, so a grid of floats is rounded down and one beyond its dtype's range becomes
another picture."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-007",)


class Converts(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        if isinstance(item.grid_thw, Tensor) and item.grid_thw.dtype in (torch.int32, torch.float32):
            item = replace(item, grid_thw=item.grid_thw.to(torch.int64))
        return super().split(item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant grid of any dtype",
    prepare=Converts,
)
