"""Ours: the tensors of one payload are joined into one attention segment, so the slices of an image see each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-013", "ENC-005")


class JoinedTiles(PackingEncoder):
    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        whole = [
            dataclasses.replace(item, parts=(sum(item.parts),)) if item.grid_thw is None else item for item in described
        ]
        return super().segments(whole)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant item013_tile_attention_joined", encoder=JoinedTiles
)
