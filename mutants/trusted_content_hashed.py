"""The content of an item with a trusted key is hashed like any other, so a caller who encodes the same picture anew
gets another digest under the same key."""

import dataclasses
from collections.abc import Iterator

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-008",)


class ReadsAnyway(Identifier):
    def tensor(self, tensor: Tensor, read: bool) -> Iterator[bytes]:
        return super().tensor(tensor, read=True)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant trusted content hashed",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=ReadsAnyway,
)
