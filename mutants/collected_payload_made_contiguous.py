"""A strided payload is copied when it is collected, and once more when it is packed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

import optimized
from optimized.collect import Collector
from optimized.tokens import Integers
from plumbline.interface import Item, Modality

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-020",)


class Contiguous(Collector):
    def bundle(self, modality: Modality, ids: Integers, processed: Mapping[str, Tensor], where: str) -> Item:
        item = super().bundle(modality, ids, processed, where)
        assert isinstance(item.payload, Tensor)
        return dataclasses.replace(item, payload=item.payload.contiguous())


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant collected payload made contiguous",
    collect=Contiguous,
)
