"""B015 (vLLM #23623, found in review): bfloat16 has no numpy dtype, so it was cast to float16 before hashing.
Everything beyond 65504 becomes one infinity."""

import dataclasses

import torch
from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = "B015"
PARENT = "optimized"
ACCEPT = ("IDENT-003", "IDENT-009")


class CastFirst(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        return super().content(tensor.to(torch.float16) if tensor.dtype is torch.bfloat16 else tensor)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b015 cast before hashing",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=CastFirst,
)
