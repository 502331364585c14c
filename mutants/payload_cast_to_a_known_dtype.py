"""A payload of a dtype that the tower does not read is cast to one that it does, and the values that do not fit are
lost in silence."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-008",)


class Casts(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        payload = item.payload
        if isinstance(payload, Tensor) and item.source is not Source.PRECOMPUTED and payload.layout is torch.strided:
            known = self.spec.payload_dtypes
            item = item if payload.dtype in known else replace(item, payload=payload.to(next(iter(known))))
        return super().split(item, layout, where)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant payload cast to a known dtype",
    prepare=Casts,
)
