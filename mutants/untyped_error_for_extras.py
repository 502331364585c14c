"""An extra of an unsupported type raises what Python raises, and the whole call with it: an engine cannot tell a
user's fault from its own."""

import dataclasses
from collections.abc import Mapping

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadExtra, Extra

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-003", "PREP-015", "PREP-006", "ISO-002")


class Untyped(Preparer):
    def check_extras(self, extras: Mapping[str, Extra], images: int, where: str) -> None:
        try:
            super().check_extras(extras, images, where)
        except BadExtra as error:
            raise TypeError(str(error)) from None


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant untyped error for extras",
    prepare=Untyped,
)
