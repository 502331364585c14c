"""SGLang's hash of a tensor on a GPU is another function than that of one on the CPU: an image that a GPU's processor made
is not found under the name that it has from a CPU's. Here payloads that are not on the CPU get SHA-256."""

from __future__ import annotations

import dataclasses
import hashlib

from torch import Tensor

import optimized
from optimized.identify import Identifier, raw_bytes

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-014",)


class ByDevice(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        if tensor.device.type == "cpu":
            return super().content(tensor)
        return hashlib.sha256(raw_bytes(tensor).data).digest()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant ident014 another hash on devices",
    identify=ByDevice,
)
