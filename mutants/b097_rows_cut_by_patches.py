"""B097 (vLLM #23366): a bundle of precomputed rows is cut by the product of each grid, without the merge factor, so
the first image takes the rows of the others."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout, Source

BUG = "B097"
PARENT = "optimized"
ACCEPT = ("PREP-002",)


class CutsByPatches(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        images = list(super().split(item, layout, where))
        if item.source is Source.PRECOMPUTED and len(images) > 1 and isinstance(item.payload, Tensor):
            start = 0
            for at, (t, h, w) in enumerate(item.grid_thw.tolist() if item.grid_thw is not None else []):
                images[at] = replace(images[at], payload=item.payload[start : start + t * h * w])
                start += t * h * w
        return iter(images)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b097 rows cut by patches",
    prepare=CutsByPatches,
)
