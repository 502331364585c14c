"""transformers #45412 (fixes #45708, #45780), vLLM #35676, ParlAI #2487: ``lru_cache`` on a method keeps its object alive, and
so the model.

Carried over: how many rows a grid has is remembered by ``lru_cache`` on the encoder's method. Its key holds the encoder, with
the tower and its weights. Shows: an engine that encoded one item with a grid is dropped and another is made in the same
process: encoder and tower of each live until 1,024 other entries came, so that weights pile up. Every result is right.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Modality, PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-014",)


class Encoder(PackingEncoder):
    @lru_cache(maxsize=1024)  # noqa: B019
    def rows_of_grid(self, modality: Modality, grid: tuple[int, int, int]) -> int:
        layout = self.spec.layouts[modality]
        t, h, w = grid
        return (1 if layout.pools_frames else t) * (h // layout.merge) * (w // layout.merge)

    def rows(self, item: PackedItem) -> int:
        if item.grid_thw is not None:
            return self.rows_of_grid(item.modality, item.grid_thw)
        return super().rows(item)


implementation = dataclasses.replace(optimized.implementation, name="mutant cached_method", encoder=Encoder)
