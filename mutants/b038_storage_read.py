"""B038, SGLang #26096: the bytes of the storage are taken for those of the tensor, whatever its strides."""

from __future__ import annotations

import dataclasses
from itertools import accumulate

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = "B038"
PARENT = "optimized"
ACCEPT = ("ITEM-010",)


class StorageRead(PackingEncoder):
    def contiguous(self, patches: Tensor) -> Tensor:
        strides = [*accumulate(reversed(patches.shape[1:]), int.__mul__, initial=1)][::-1]
        return patches.as_strided(patches.shape, strides) if patches.numel() else patches


implementation = dataclasses.replace(optimized.implementation, name="mutant b038_storage_read", encoder=StorageRead)
