"""B010 (TRT-LLM #14603): an extra that cannot be hashed is left out, so it is neither refused nor part of the
identity."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.prepare import SCALARS, Preparer
from plumbline.interface import Item, Layout

BUG = "B010"
PARENT = "optimized"
ACCEPT = ("PREP-015",)


class Drops(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        kept = {
            name: extra
            for name, extra in item.extras.items()
            if extra.per_image or isinstance(extra.value, (*SCALARS, Tensor))
        }
        return super().split(replace(item, extras=kept), layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant unsupported extras dropped",
    prepare=Drops,
)
