"""vllm-omni #6963 (fixed): the pixel limit does not reach what comes by the video paths. Kin: Qwen3-VL #1248 (total_pixels
is ignored for frame lists, only each frame is limited), vllm-omni #7375.

Carried over: each frame of an item with a grid is an attention segment of its own, so the largest item is taken to be the one
with the largest frame, and that is what is compared with ``Budgets.item_patches``. For images it is the same.

Shows for a video whose frames are within the limit and whose patches are not: it is admitted, and encoded in one call of
any size, since a single item may exceed the budget of a call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-010",)


class FramePreparer(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        parts = self.parts(item, layout, where)
        grids = self.grids(item, layout, where)
        sizes, rows = self.counts(item, layout, parts, grids)
        payloads = self.divide_payload(item, parts, sizes, where)
        pixels = item.source is not Source.PRECOMPUTED
        self.check_sizes([height * width for _, height, width in grids] if pixels and grids else sizes, where)
        spans = self.divide_spans(item.spans, rows, where)
        self.check_extras(item.extras, len(sizes), where)
        self.check_given(item.given, len(sizes), where)
        if len(sizes) == 1 and not any(extra.per_image for extra in item.extras.values()):
            yield item
            return
        for index, payload in enumerate(payloads):
            yield dataclasses.replace(
                item,
                payload=payload,
                spans=spans[index],
                grid_thw=None if item.grid_thw is None else item.grid_thw[index : index + 1],
                extras=self.extras_of(item.extras, index),
                given=item.given[index : index + 1],
            )


implementation = dataclasses.replace(
    optimized.implementation, name="mutant videos_limited_by_frame", prepare=FramePreparer
)
