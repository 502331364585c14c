"""One image has one grid, so it is carried as three numbers, [3], where readers expect [1, 3]."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Identity, PlumblineError, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-004",)


class Flattens(Preparer):
    def prepared(self, draft: Draft, found: list[Identity | PlumblineError]) -> Prepared | Failure:
        result = super().prepared(draft, found)
        if isinstance(result, Failure):
            return result
        items = tuple(
            item if item.grid_thw is None else replace(item, grid_thw=item.grid_thw[0]) for item in result.items
        )
        return replace(result, items=items)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant grid flattened",
    prepare=Flattens,
)
