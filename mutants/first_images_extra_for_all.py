"""A value for each image is read with the wrong index: all images of a bundle get that of the first."""

import dataclasses
from collections.abc import Mapping

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Extra

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-005",)


class FirstForAll(Preparer):
    def extras_of(self, extras: Mapping[str, Extra], image: int) -> Mapping[str, Extra]:
        return super().extras_of(extras, 0)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant first images extra for all",
    prepare=FirstForAll,
)
