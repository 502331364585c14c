"""MSLK #303 in kind: the number of a row in its item wraps at 65,536."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from optimized.places import Piece, Places
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "ITEM-001",
    "CHUNK-001",
)


class Narrow(Places):
    def pieces(self, lo: int, hi: int) -> list[Piece]:
        pieces = super().pieces(lo, hi)
        return [(item, first % (1 << 16), first % (1 << 16) + last - first, at) for item, first, last, at in pieces]


class NarrowPlaces(Embedder):
    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        self._requests[prepared.request_id].places = Narrow([item.spans for item in prepared.items])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant item001_rows_numbered_by_16_bits", embed=NarrowPlaces
)
