"""B037 (vLLM #16492): a payload whose memory is not contiguous raises, because only its bytes as they lie are
handled."""

import dataclasses

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadPayload, Item, Layout

BUG = "B037"
PARENT = "optimized"
ACCEPT = ("ITEM-010", "ISO-001")


class ContiguousOnly(Preparer):
    def parts(self, item: Item, layout: Layout, where: str) -> tuple[Tensor, ...]:
        parts = super().parts(item, layout, where)
        if not all(part.is_contiguous() for part in parts):
            raise BadPayload("the payload is not contiguous", where=where)
        return parts


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant strided payload refused",
    prepare=ContiguousOnly,
)
