"""B101's kin (SGLang #37968): spans must cover placeholders, whosever they are, so an image takes the place of a video."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadSpans, Layout, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-007",)


class Any(Preparer):
    def check_positions(self, request: Request, layouts: Sequence[Layout], where: str) -> None:
        try:
            super().check_positions(request, layouts, where)
        except BadSpans as error:
            placeholders = [layout.placeholder_id for layout in self.spec.layouts.values()]
            ids = request.token_ids.numpy()
            covered = np.zeros(len(ids), dtype=bool)
            for item in request.items:
                for lo, hi in item.spans:
                    covered[lo:hi] = True
            if "overlap" in error.what or (covered ^ np.isin(ids, placeholders)).any():
                raise


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant span over any placeholder",
    prepare=Any,
)
