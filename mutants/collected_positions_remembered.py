"""The spans of an output are remembered under its request's id, and a retry with another prompt gets those of the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

import optimized
from optimized.collect import Collector
from plumbline.interface import Request, RequestId, Span, TowerSpec

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-018",)


class Remembers(Collector):
    def __init__(self, spec: TowerSpec) -> None:
        super().__init__(spec)
        self.known: dict[tuple[object, ...], list[tuple[Span, ...]]] = {}

    def __call__(self, request_id: RequestId, token_ids: Tensor, processed: Mapping[str, Tensor]) -> Request:
        request = super().__call__(request_id, token_ids, processed)
        key = request_id, len(token_ids), *(item.modality for item in request.items)
        spans = self.known.setdefault(key, [item.spans for item in request.items])
        items = (dataclasses.replace(item, spans=s) for item, s in zip(request.items, spans, strict=True))
        return dataclasses.replace(request, items=tuple(items))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant collected positions remembered",
    collect=Remembers,
)
