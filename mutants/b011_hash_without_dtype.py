"""B011 (FastDeploy #7196): the bytes of an array are hashed without its dtype, so float32 and int32 patches of the
same bits share three layers of caches."""

import dataclasses
from collections.abc import Iterator

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = "B011"
PARENT = "optimized"
ACCEPT = ("IDENT-004", "IDENT-008")


class WithoutDtype(Identifier):
    def tensor(self, tensor: Tensor, read: bool) -> Iterator[bytes]:
        _, shape, content = super().tensor(tensor, read)
        yield shape
        yield content


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b011 hash without dtype",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=WithoutDtype,
)
