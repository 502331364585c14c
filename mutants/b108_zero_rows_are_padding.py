"""B108, TRT-LLM #11805: values are tested for truth. Precomputed rows of zeros are taken for padding and dropped."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item

BUG = "B108"
PARENT = "optimized"
ACCEPT = ("ITEM-012", "ISO-001")


class TruthTest(PackingEncoder):
    def precomputed(self, item: Item) -> Encoded:
        encoded = super().precomputed(item)
        kept = encoded.rows.bool().any(dim=1)
        return Encoded(encoded.rows[kept], tuple(level[kept] for level in encoded.side))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b108_zero_rows_are_padding", encoder=TruthTest
)
