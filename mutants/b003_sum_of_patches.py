"""B003 (SGLang #8342): a kernel that multiplies each byte by its place in the patch and adds up over patches. Swapped
patches have one hash."""

import dataclasses
import hashlib

from torch import Tensor

import optimized
from optimized.identify import Identifier, raw_bytes
from plumbline.interface import Capability

BUG = "B003"
PARENT = "optimized"
ACCEPT = ("IDENT-003",)


class SumOfPatches(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        if not tensor.numel():
            return super().content(tensor)
        patches = raw_bytes(tensor).reshape(tensor.shape[0], -1)
        return hashlib.sha256(patches.sum(axis=0, dtype="uint64").tobytes()).digest()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b003 sum of patches",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=SumOfPatches,
)
