"""Ours: a batch is closed after the item that passes the budget, not before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-003",)


class OneOver(PackingEncoder):
    def batches(self, items: Sequence[Item], indexes: Sequence[int]) -> list[list[int]]:
        batches: list[list[int]] = []
        size = self.most_patches
        for index in indexes:
            if size >= self.most_patches:
                batches.append([])
                size = 0
            batches[-1].append(index)
            size += self.patches(items[index])
        return batches


implementation = dataclasses.replace(optimized.implementation, name="mutant enc003_one_item_over", encoder=OneOver)
