"""Ours: the rows of an item without a grid are counted from its first tensor. An image of one slice is right."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-009", "ITEM-013")


class FirstTensor(PackingEncoder):
    def rows(self, item: PackedItem) -> int:
        return super().rows(item if item.grid_thw else dataclasses.replace(item, parts=item.parts[:1]))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant item009_first_tensor_counts", encoder=FirstTensor
)
