"""After vLLM #23623: bfloat16, which numpy does not have, is viewed as float16 before it is hashed with its dtype."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class Renamed(Identifier):
    def tensor(self, tensor: Tensor, read: bool) -> Iterator[bytes]:
        dtype, shape, content = super().tensor(tensor, read)
        yield dtype.replace(b"bfloat16", b"float16")
        yield shape
        yield content


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant bfloat16 hashed as float16",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Renamed,
)
