"""Ours: extras are part of the identity, and never reach the tower."""

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


class NoExtras(PackingEncoder):
    def describe(self, item: Item, parts: Sequence[Tensor]) -> PackedItem:
        return dataclasses.replace(super().describe(item, parts), extras={})


implementation = dataclasses.replace(optimized.implementation, name="mutant enc011_extras_not_passed", encoder=NoExtras)
