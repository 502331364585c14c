"""pytorch #180855 (open), #169656, #133605; torch-xpu-ops #1336: index operations are not implemented for float8 and the wide
unsigned types, where plain copies are. vLLM's fp8 transfers met it (``index_cpu``).

Carried over: the parts of a call are put in their places by ``index_copy_`` with an index tensor, since slices with numbers
would be compiled anew for each offset. Shows: payloads of float8, uint16, uint32 or uint64 (as the tower's spec may say) and
more than one part. Several items: the batch fails and each is encoded alone, which gives right rows and hides it: one call
for each item, each step. One item of several tensors (the slices of a tile model): EncodingFailed, always. A lone tensor is
not joined, and all other dtypes are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-002", "ISO-001", "ITEM-013")


class Encoder(PackingEncoder):
    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        if len(parts) == 1 or len({part.device for part in parts}) > 1:
            return super().joined(parts)
        total = sum(part.shape[0] for part in parts)
        patches = parts[0].new_empty((total, *parts[0].shape[1:]))
        start = 0
        for part in parts:
            at = torch.arange(start, start + part.shape[0], device=part.device)
            patches.index_copy_(0, at, part)
            start += part.shape[0]
        return patches


implementation = dataclasses.replace(optimized.implementation, name="mutant joined_by_index", encoder=Encoder)
