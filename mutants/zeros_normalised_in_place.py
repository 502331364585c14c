"""Negative zeros are normalised before hashing, in the caller's own tensor: what the tower reads, and what a retry
sends, is no longer what came."""

import dataclasses

import torch
from torch import Tensor

import optimized
from optimized.identify import Identifier

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-012", "PREP-012")


class InPlace(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        if tensor.dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            tensor += 0
        return super().content(tensor)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant zeros normalised in place",
    identify=InPlace,
)
