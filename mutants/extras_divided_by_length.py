"""Whether an extra has a value for each image is guessed from its length, so a crop box of two numbers is torn apart
in a bundle of two images."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Extra, Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-005",)


class GuessesByLength(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        images = list(super().split(item, layout, where))
        for at, image in enumerate(images):
            yield replace(image, extras={name: self.share(one, at, len(images)) for name, one in image.extras.items()})

    def share(self, extra: Extra, image: int, images: int) -> Extra:
        value = extra.value
        if images > 1 and isinstance(value, Tensor | str | bytes) and len(value) == images:
            return replace(extra, value=value[image])
        return extra


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant extras divided by length",
    prepare=GuessesByLength,
)
