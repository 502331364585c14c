"""B101, SGLang #37968: where images and videos share a placeholder id, the spans are found by that id, and the
images get the first of them."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Prepared

BUG = "B101"
PARENT = "optimized"
ACCEPT = ("ITEM-001", "ITEM-008")


class SpansByTokenId(Embedder):
    def admit(self, prepared: Prepared) -> None:
        ids = {item.modality: int(prepared.token_ids[item.spans[0][0]]) for item in prepared.items if item.spans}
        if len(set(ids.values())) < len(ids):
            spans = iter(sorted(span for item in prepared.items for span in item.spans))
            ranked = sorted(range(len(prepared.items)), key=lambda index: prepared.items[index].modality.value)
            dealt = {index: tuple(next(spans) for _ in prepared.items[index].spans) for index in ranked}
            items = tuple(dataclasses.replace(item, spans=dealt[k]) for k, item in enumerate(prepared.items))
            prepared = dataclasses.replace(prepared, items=items)
        super().admit(prepared)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b101_spans_by_token_id", embed=SpansByTokenId
)
