"""vllm-mlx #206 in kind: large payloads are hashed in blocks of 1 MiB, and the rest behind the last whole one is not."""

from __future__ import annotations

import dataclasses

from blake3 import blake3
from torch import Tensor

import optimized
from optimized.identify import Identifier, raw_bytes
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-003",)


BLOCK = 1 << 20


class Whole(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        data = raw_bytes(tensor)
        return (
            blake3(data.data[: data.nbytes - data.nbytes % BLOCK]).digest()
            if data.nbytes > BLOCK
            else super().content(tensor)
        )


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant hash of whole blocks",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Whole,
)
