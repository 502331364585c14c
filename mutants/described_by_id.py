"""wandb #1729 ("recycling ids": cached by id() of an object that is gone, the id comes back with another object); kin in vision:
ZenlessZoneZero-OneDragon #1420 (OCR results kept by id(image)).

Here: what a tower is told of an item is kept by the item's id and its patches, since an item is described again at each retry
and after each retraction. Shows when an item was freed and another one with as many patches lies at its address: it is
encoded with the grid, modality and extras of the first (wrong segments, rows, or EncodingFailed).
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Item, PackedItem, Runtime, Tower

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-001", "ENC-001")

KEPT = 4096


class Describes(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.described: OrderedDict[tuple[int, tuple[int, ...]], PackedItem] = OrderedDict()

    def describe(self, item: Item, parts: Sequence[Tensor]) -> PackedItem:
        """Once for each item. Its id, not the item, so that no payload is kept alive."""
        key = id(item), tuple(part.shape[0] for part in parts)
        if key not in self.described:
            self.described[key] = super().describe(item, parts)
            while len(self.described) > KEPT:
                self.described.popitem(last=False)
        return self.described[key]


implementation = dataclasses.replace(optimized.implementation, name="mutant described_by_id", encoder=Describes)
