"""sglang #33214 (merged; DeepSeek-OCR): the crops of a batch's items are joined by ``torch.stack``, which fails as soon as one
image was cut into another number of crops.

Carried over: the tensors of a call are stacked where they are of one shape, which is asked of the first and the last of them.

Shows where a call's first and last tensors are alike and one between them is not. A call of several items fails and is made
again item by item (rows right, calls needless, and more of them than the budget asks for); an item of slices such as 2, 1, 2
fails alone as well: EncodingFailed for a good request."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-001", "ENC-001", "ENC-002")


class StackingEncoder(PackingEncoder):
    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        alike = len(parts) > 1 and parts[0].shape == parts[-1].shape and parts[0].device == parts[-1].device
        return torch.stack(list(parts)).flatten(0, 1) if alike else super().joined(parts)


implementation = dataclasses.replace(optimized.implementation, name="mutant slices_stacked", encoder=StackingEncoder)
