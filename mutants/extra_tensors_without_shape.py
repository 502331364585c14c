"""B004's kin (SGLang #25462): a tensor among the extras is hashed by its dtype and bytes, so a crop box as a row and as
a column are one."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class Flat(Identifier):
    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        if isinstance(value, Tensor):
            return b"tensor", str(value.dtype).encode() + self.content(value)
        return super().extra(name, value)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant extra tensors without shape",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Flat,
)
