"""Values are normalised before hashing, so that 0.0 and -0.0 have one hash. They are different inputs to a tower, and
different rows where they are precomputed."""

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-003",)


class Normalised(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        return super().content(tensor + 0 if tensor.is_floating_point() else tensor)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant zeros of both signs alike",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Normalised,
)
