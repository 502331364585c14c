"""Ours: NaN and infinities in a caller's rows are replaced, as a service to the model."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-012",)


class Repairing(PackingEncoder):
    def precomputed(self, item: Item) -> Encoded:
        encoded = super().precomputed(item)
        return Encoded(torch.nan_to_num(encoded.rows), tuple(torch.nan_to_num(level) for level in encoded.side))


implementation = dataclasses.replace(optimized.implementation, name="mutant item012_nan_repaired", encoder=Repairing)
