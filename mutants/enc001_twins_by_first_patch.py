"""Ours: items of a batch with one grid and one first patch are taken for the same image and encoded once. Slides of
one deck share their corner."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-001", "ENC-009")


class FirstPatch(PackingEncoder):
    def call(self, jobs: Sequence[Job]) -> list[Encoded]:
        seen: dict[object, Job] = {}
        for item, parts in jobs:
            seen.setdefault(self.glance(item, parts), (item, parts))
        rows = dict(zip(seen, super().call(list(seen.values())), strict=True))
        return [rows[self.glance(item, parts)] for item, parts in jobs]

    def glance(self, item: Item, parts: Sequence[Tensor]) -> object:
        described = self.describe(item, parts)
        return item.modality, described.grid_thw, described.parts, str(parts[0][:1].tolist()), str(described.extras)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc001_twins_by_first_patch", encoder=FirstPatch
)
