"""Ours: the budget in patches is compared with the rows of the items, which are fewer by the square of the merge."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-003",)


class CountsRows(PackingEncoder):
    def batches(self, items: Sequence[Item], indexes: Sequence[int]) -> list[list[int]]:
        batches: list[list[int]] = []
        room = 0
        for index in indexes:
            merge = self.spec.layouts[items[index].modality].merge
            rows = self.patches(items[index]) // merge**2
            if not batches or rows > room:
                batches.append([])
                room = self.most_patches
            batches[-1].append(index)
            room -= rows
        return batches


implementation = dataclasses.replace(optimized.implementation, name="mutant enc003_budget_in_rows", encoder=CountsRows)
