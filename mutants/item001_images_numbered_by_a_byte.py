"""TRT-LLM #4145 in kind: an image's number in its request is kept in a byte."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from optimized.places import Piece, Places
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-001",)


class Narrow(Places):
    def pieces(self, lo: int, hi: int) -> list[Piece]:
        return [(item % 256, first, last, at) for item, first, last, at in super().pieces(lo, hi)]


class NarrowPlaces(Embedder):
    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        self._requests[prepared.request_id].places = Narrow([item.spans for item in prepared.items])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant item001_images_numbered_by_a_byte", embed=NarrowPlaces
)
