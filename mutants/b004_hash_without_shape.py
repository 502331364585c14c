"""B004 (SGLang #25462): the shape of a tensor is not hashed. With one tower that hides, as long as dtype and grid
are, except where a trusted key stands for the bytes."""

import dataclasses
from collections.abc import Iterator

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = "B004"
PARENT = "optimized"
ACCEPT = ("IDENT-004", "IDENT-008")


class WithoutShape(Identifier):
    def tensor(self, tensor: Tensor, read: bool) -> Iterator[bytes]:
        dtype, _, content = super().tensor(tensor, read)
        yield dtype
        yield content


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b004 hash without shape",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=WithoutShape,
)
