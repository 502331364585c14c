"""Precomputed rows go through an addition of nothing, which turns -0.0 into 0.0: the rows are equal to those that
came, and not the same."""

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-012",)


class AddsNothing(PackingEncoder):
    def precomputed(self, item: Item) -> Encoded:
        encoded = super().precomputed(item)
        return Encoded(encoded.rows + 0, encoded.side)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant precomputed negative zero lost",
    encoder=AddsNothing,
)
