"""B123 (vLLM CVE-2025-62164): a sparse tensor from a caller is made dense without a check of its indices."""

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


class Densifies(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        if isinstance(item.payload, Tensor) and item.payload.is_sparse:
            item = replace(item, payload=item.payload.to_dense())
        return super().split(item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b123 sparse payload accepted",
    prepare=Densifies,
)
