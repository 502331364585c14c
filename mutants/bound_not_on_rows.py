"""B120's kin (SGLang #33035): the bound for one item is on what the tower encodes, so precomputed rows are admitted in
any number."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-010",)


class NoBound(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        unbound = copy.copy(self)
        unbound.most_patches = 1 << 62
        return Preparer.split(unbound if item.source is Source.PRECOMPUTED else self, item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant bound not on rows",
    prepare=NoBound,
)
