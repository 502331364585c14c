"""In one call, tensors that begin at one address and have one shape are hashed once, and the strides are forgotten: a
transposed view is the view itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Identity, Item, PlumblineError, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-003",)


class Once(Identifier):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.seen: dict[tuple[int, torch.Size, torch.dtype], bytes] = {}

    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        self.seen.clear()
        return super().__call__(items)

    def content(self, tensor: Tensor) -> bytes:
        key = tensor.data_ptr(), tensor.shape, tensor.dtype
        if key not in self.seen:
            self.seen[key] = super().content(tensor)
        return self.seen[key]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant views hashed by address and shape",
    identify=Once,
)
