"""NaN is zeroed before hashing, in the caller's own tensor."""

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-012", "PREP-012")


class InPlace(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        if tensor.is_floating_point():
            tensor.masked_fill_(tensor.isnan(), 0)
        return super().content(tensor)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant nans zeroed in place",
    identify=InPlace,
)
