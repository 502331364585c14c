"""Ours, after MiniCPM's empty slice lists: the first span of each item is looked up at admission, and an item of
zero rows has none."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-011", "ISO-001", "ISO-003")


class FirstPlace(Embedder):
    def admit(self, prepared: Prepared) -> None:
        starts = [item.spans[0][0] for item in prepared.items]
        super().admit(prepared)
        self.starts = {prepared.request_id: starts}


implementation = dataclasses.replace(optimized.implementation, name="mutant item011_no_spans_crash", embed=FirstPlace)
