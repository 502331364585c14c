"""Floats among the extras are hashed with 32 bits, though the tower gets all 64."""

from __future__ import annotations

import dataclasses
import struct

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class Narrow(Identifier):
    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        if isinstance(value, float) and abs(value) < 1e38:
            return b"float", struct.pack("<f", value)
        return super().extra(name, value)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant float extras in float32",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Narrow,
)
