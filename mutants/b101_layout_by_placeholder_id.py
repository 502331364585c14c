"""B101 (SGLang #37968): the modality of a placeholder is found by its token id, so where image and video share one
id, the images are laid out like the last of them."""

import dataclasses

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = "B101"
PARENT = "optimized"
ACCEPT = ("ITEM-008",)


class ById(Preparer):
    def layout(self, item: Item, where: str, length: int) -> Layout:
        by_id = {layout.placeholder_id: layout for layout in self.spec.layouts.values()}
        return by_id[super().layout(item, where, length).placeholder_id]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b101 layout by placeholder id",
    prepare=ById,
)
