"""B101, SGLang #37968: images and videos share a placeholder, and the spans of each modality are found by that id: the
images get the first of them, the videos the last, wherever they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from torch import Tensor

import optimized
from optimized.collect import GRIDS, Collector
from optimized.tokens import Integers
from plumbline.interface import Item, Modality

BUG = "B101"
PARENT = "optimized"
ACCEPT = ("PREP-023",)


class DealsShared(Collector):
    def claim(self, owners: dict[int, Modality], modality: Modality, where: str) -> None:
        layout = self.spec.layouts[modality]
        owners[-1 - layout.placeholder_id if layout.placeholder_id in owners else layout.placeholder_id] = modality

    def bundle(self, modality: Modality, ids: Integers, processed: Mapping[str, Tensor], where: str) -> Item:
        layout = self.spec.layouts[modality]
        shared = len({self.spec.layouts[one].placeholder_id for one in GRIDS}) == 1
        if shared and all(processed.get(name) is not None for name in GRIDS.values()):
            rows = int(self.rows(processed[GRIDS[modality]].cpu().numpy(), layout, where).sum())
            positions = np.flatnonzero(ids == layout.placeholder_id)
            others = positions[rows:] if modality is Modality.IMAGE else positions[:-rows]
            ids = ids.copy()
            ids[others] = -1
        return super().bundle(modality, ids, processed, where)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b101_shared_placeholder_dealt_out", collect=DealsShared
)
