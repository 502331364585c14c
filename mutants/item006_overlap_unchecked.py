"""Ours: spans are checked one by one for their range, and never against each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadSpans, Layout, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-006",)


class SpansAlone(Preparer):
    def check_positions(self, request: Request, layouts: Sequence[Layout], where: str) -> None:
        try:
            super().check_positions(request, layouts, where)
        except BadSpans as error:
            if "overlap" not in error.what:
                raise


implementation = dataclasses.replace(
    optimized.implementation, name="mutant item006_overlap_unchecked", prepare=SpansAlone
)
