"""A missing payload is reported as a malformed one, so the sender is told that sending it again does not help."""

import dataclasses

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadPayload, Item, Layout, PayloadMissing

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-013",)


class OtherError(Preparer):
    def parts(self, item: Item, layout: Layout, where: str) -> tuple[Tensor, ...]:
        try:
            return super().parts(item, layout, where)
        except PayloadMissing as error:
            raise BadPayload(error.what, where=where) from None


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant missing payload is another error",
    prepare=OtherError,
)
