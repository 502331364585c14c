"""vllm-omni #6963 (fixed): the pixel limit does not reach what comes by the video paths. Kin: Qwen3-VL #1248 (total_pixels
is ignored for frame lists, only each frame is limited), vllm-omni #7375.

Carried over: each frame of an item with a grid is an attention segment of its own, so the largest item is taken to be the one
with the largest frame, and that is what is compared with ``Budgets.item_patches``. For images it is the same.

Shows for a video whose frames are within the limit and whose patches are not: it is admitted, and encoded in one call of
any size, since a single item may exceed the budget of a call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.prepare import Grid, Preparer
from plumbline.interface import Item, Layout, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-010",)


class FramePreparer(Preparer):
    frames: Sequence[int] = ()
    """Of each image of the item that is looked at; none where rows are sent."""

    def grids(self, item: Item, layout: Layout, where: str) -> list[Grid] | None:
        found = super().grids(item, layout, where)
        self.frames = [t for t, _, _ in found] if found and item.source is not Source.PRECOMPUTED else ()
        return found

    def check_sizes(self, sizes: list[int], where: str) -> None:
        pairs = zip(sizes, self.frames, strict=True) if self.frames else ((size, 1) for size in sizes)
        super().check_sizes([size // frames for size, frames in pairs], where)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant videos_limited_by_frame", prepare=FramePreparer
)
