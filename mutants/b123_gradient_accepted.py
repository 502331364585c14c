"""After B123 (vLLM CVE-2025-62164): a payload that requires a gradient is taken, with the graph behind it."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = "B123"
PARENT = "optimized"
ACCEPT = ("PREP-008",)


class Detaches(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        if isinstance(item.payload, Tensor) and item.payload.requires_grad:
            item = replace(item, payload=item.payload.detach())
        return super().split(item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b123 gradient accepted",
    prepare=Detaches,
)
