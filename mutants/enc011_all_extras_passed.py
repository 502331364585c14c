"""Ours: the tower gets every extra, also those that are not part of the identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Item, PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-011",)


class AllExtras(PackingEncoder):
    def describe(self, item: Item, parts: Sequence[Tensor]) -> PackedItem:
        extras = {name: extra.value for name, extra in item.extras.items()}
        return dataclasses.replace(super().describe(item, parts), extras=extras)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc011_all_extras_passed", encoder=AllExtras
)
