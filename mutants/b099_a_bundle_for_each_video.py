"""B099, SGLang #14970, in a processor's output: each image is an item of its own, and every one gets all spans and all
patches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

import optimized
from optimized.collect import Collector
from plumbline.interface import Request, RequestId

BUG = "B099"
PARENT = "optimized"
ACCEPT = ("PREP-017",)


class OneItemForEach(Collector):
    def __call__(self, request_id: RequestId, token_ids: Tensor, processed: Mapping[str, Tensor]) -> Request:
        request = super().__call__(request_id, token_ids, processed)
        items = [
            dataclasses.replace(item, grid_thw=grid[None])
            for item in request.items
            if item.grid_thw is not None
            for grid in item.grid_thw
        ]
        return dataclasses.replace(request, items=tuple(items))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b099_a_bundle_for_each_video", collect=OneItemForEach
)
