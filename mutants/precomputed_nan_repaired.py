"""After B123 (vLLM CVE-2025-62164): precomputed rows are cleaned of NaN and infinities, which hides the bug of the
encoder that made them."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout, Source

BUG = "B123"
PARENT = "optimized"
ACCEPT = ("ITEM-012",)


class Repairs(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        for image in super().split(item, layout, where):
            if image.source is Source.PRECOMPUTED and isinstance(image.payload, Tensor):
                image = replace(image, payload=image.payload.nan_to_num())
            yield image


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant precomputed nan repaired",
    prepare=Repairs,
)
