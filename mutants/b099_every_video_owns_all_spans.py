"""B099, SGLang #14970: the list of spans of a modality was given to each of its items. A request with one video
looks right."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Modality, Prepared

BUG = "B099"
PARENT = "optimized"
ACCEPT = ("ITEM-001", "ITEM-005", "ISO-001")


class SpansOfModality(Embedder):
    def admit(self, prepared: Prepared) -> None:
        spans = tuple(s for item in prepared.items if item.modality is Modality.VIDEO for s in item.spans)
        items = tuple(
            dataclasses.replace(item, spans=spans) if item.modality is Modality.VIDEO else item
            for item in prepared.items
        )
        super().admit(dataclasses.replace(prepared, items=items))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b099_every_video_owns_all_spans", embed=SpansOfModality
)
