"""vLLM #55203: the options of each video are read with the index of the first, so two copies of a clip at 8 and at 16
frames are sampled alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout, Modality

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-005",)


class FirstVideo(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        images = list(super().split(item, layout, where))
        for image in images:
            yield dataclasses.replace(image, extras=images[0].extras) if item.modality is Modality.VIDEO else image


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant videos share the first extra",
    prepare=FirstVideo,
)
