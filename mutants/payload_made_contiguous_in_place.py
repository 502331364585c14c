"""A strided payload is made contiguous for hashing, and the caller's tensor is pointed at the copy: whoever shares
its storage no longer does."""

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-012", "PREP-012")


class Contiguous(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        if not tensor.is_contiguous():
            tensor.data = tensor.contiguous()
        return super().content(tensor)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant payload made contiguous in place",
    identify=Contiguous,
)
