"""B037, vLLM #16492 and #18860: a payload is flattened with view, which strided tensors refuse."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = "B037"
PARENT = "optimized"
ACCEPT = ("ITEM-010", "ISO-001")


class FlatView(PackingEncoder):
    def contiguous(self, patches: Tensor) -> Tensor:
        return patches.view(-1).view(patches.shape)


implementation = dataclasses.replace(optimized.implementation, name="mutant b037_flat_view", encoder=FlatView)
