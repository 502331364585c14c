"""Ours: whether rows are precomputed is told from their width, so rows as wide as a patch go through the tower."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder, meta_of, parts_of
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-008", "ITEM-012")


class ToldByWidth(PackingEncoder):
    def without_tower(self, item: Item) -> Encoded | PlumblineError | None:
        shape = meta_of(parts_of(item)[0]).shape
        if tuple(shape[1:]) == self.spec.layouts[item.modality].patch_shape and shape[0]:
            return None
        return super().without_tower(item)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc008_precomputed_encoded", encoder=ToldByWidth
)
