"""The tensors of a bundle are counted together, so one that has a patch too many makes up for the next one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Payload

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-002",)


class Together(Preparer):
    def divide_payload(self, item: Item, parts: tuple[Tensor, ...], sizes: list[int], where: str) -> Sequence[Payload]:
        entries = [part.shape[0] for part in parts]
        if 1 < len(sizes) == len(entries) and sum(entries) == sum(sizes):
            return parts
        return super().divide_payload(item, parts, sizes, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant bundle tensors counted together",
    prepare=Together,
)
