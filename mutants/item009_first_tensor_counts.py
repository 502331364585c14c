"""Ours: the rows of an item without a grid are counted from its first tensor. An image of one slice is right."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder, meta_of, parts_of
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-009", "ITEM-013")


class FirstTensor(PackingEncoder):
    def rows(self, item: Item) -> int:
        if item.grid_thw is None:
            return int(meta_of(parts_of(item)[0]).shape[0]) * self.spec.layouts[item.modality].rows_per_tile
        return super().rows(item)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant item009_first_tensor_counts", encoder=FirstTensor
)
