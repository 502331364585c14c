"""Ours: spans are sorted before rows are dealt out, so an item whose spans are listed in another order than that of
the prompt gets its rows in the wrong places."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-001",)


class SortedSpans(Embedder):
    def admit(self, prepared: Prepared) -> None:
        items = tuple(dataclasses.replace(item, spans=tuple(sorted(item.spans))) for item in prepared.items)
        super().admit(dataclasses.replace(prepared, items=items))


implementation = dataclasses.replace(optimized.implementation, name="mutant spans_sorted", embed=SortedSpans)
