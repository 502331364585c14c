"""A tensor among the extras is hashed as it prints: to four digits, and with dots in the place of what is long."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class Printed(Identifier):
    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        if isinstance(value, Tensor):
            return b"tensor", f"{value.dtype} {tuple(value.shape)} {value}".encode()
        return super().extra(name, value)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant extra tensors printed",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Printed,
)
