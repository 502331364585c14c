"""Kernels want int32, so the grid is narrowed for them early, and every other reader gets a dtype that it does not
expect."""

import dataclasses
from dataclasses import replace

import torch

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Identity, PlumblineError, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-004",)


class Narrows(Preparer):
    def prepared(self, draft: Draft, found: list[Identity | PlumblineError]) -> Prepared | Failure:
        result = super().prepared(draft, found)
        if isinstance(result, Failure):
            return result
        items = tuple(
            item if item.grid_thw is None else replace(item, grid_thw=item.grid_thw.to(torch.int32))
            for item in result.items
        )
        return replace(result, items=items)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant grid narrowed to int32",
    prepare=Narrows,
)
