"""B002 (SGLang #5083): the tensor object was hashed instead of its content, so the key followed the memory address
and no image was ever found again."""

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = "B002"
PARENT = "optimized"
ACCEPT = ("IDENT-002", "PREFIX-003")


class HashOfAddress(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        return tensor.data_ptr().to_bytes(8, "little") + super().content(tensor)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b002 hash follows address",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=HashOfAddress,
)
