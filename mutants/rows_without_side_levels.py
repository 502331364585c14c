"""dynamo #11244 (merged): the width of Qwen3-VL's precomputed embeddings was ``out_hidden_size``, where the tower's rows are
``out_hidden_size * (1 + deepstack levels)`` wide; olive-recipes #568: three of four levels dropped, "few repeated boxes".

Here preparation takes precomputed rows of the hidden size alone from encoders that know of no deepstack, and puts zeros
where the side rows should be, so that a caller who sends too little is not told: deeper layers see nothing.

Shows: tower with side levels, precomputed payload [R, hidden_size]. BadPayload is due. Towers without side levels, and rows
of the whole width, are as before.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

import optimized
from optimized.identify import unusable
from optimized.prepare import Draft, Preparer
from optimized.tokens import is_stretched
from plumbline.interface import Item, Request, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-008",)


class Prepare(Preparer):
    def validated(self, request: Request) -> Draft:
        return super().validated(replace(request, items=tuple(self.widened(item) for item in request.items)))

    def widened(self, item: Item) -> Item:
        if item.source is not Source.PRECOMPUTED or not self.spec.side_levels:
            return item
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        if not all(self.is_main_alone(part) for part in parts):
            return item
        wide = tuple(F.pad(part, (0, self.row_width() - part.shape[1])) for part in parts)  # type: ignore
        return replace(item, payload=wide if isinstance(item.payload, tuple) else wide[0])

    def is_main_alone(self, part: object) -> bool:
        return (
            isinstance(part, Tensor)
            and not unusable(part)
            and not is_stretched(part)
            and part.dtype == self.spec.dtype
            and part.dim() == 2
            and part.shape[1] == self.spec.hidden_size
        )


implementation = dataclasses.replace(optimized.implementation, name="mutant rows_without_side_levels", prepare=Prepare)
