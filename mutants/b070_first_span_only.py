"""B070, SGLang #25910 (reverted): the split assumed one span for each item. Every span of an item gets the rows
that belong to its first one."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from optimized.places import Places
from plumbline.interface import Prepared

BUG = "B070"
PARENT = "optimized"
ACCEPT = ("ITEM-001", "ITEM-003", "ITEM-005")


class FirstSpan(Embedder):
    def admit(self, prepared: Prepared) -> None:
        super().admit(prepared)
        owners = [index for index, item in enumerate(prepared.items) for _ in item.spans]
        places = Places([[span] for item in prepared.items for span in item.spans])
        places.runs = [(lo, hi, owners[span], row) for lo, hi, span, row in places.runs]
        self._requests[prepared.request_id].places = places


implementation = dataclasses.replace(optimized.implementation, name="mutant b070_first_span_only", embed=FirstSpan)
