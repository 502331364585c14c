"""An item without rows is refused as malformed, though a processor returns it for a tiny crop."""

import dataclasses

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadPayload, Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-011", "ISO-001")


class NoEmpty(Preparer):
    def parts(self, item: Item, layout: Layout, where: str) -> tuple[Tensor, ...]:
        parts = super().parts(item, layout, where)
        if not sum(part.shape[0] for part in parts):
            raise BadPayload("the payload is empty", where=where)
        return parts


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant zero rows refused",
    prepare=NoEmpty,
)
