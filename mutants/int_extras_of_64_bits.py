"""B014's kin (LMCache #2932): integers among the extras are cut to 64 bits, of which -1 and 2^64 - 1 are the same."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class Cut(Identifier):
    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        if isinstance(value, int) and not isinstance(value, bool):
            return super().extra(name, value & (1 << 64) - 1)
        return super().extra(name, value)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant int extras of 64 bits",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Cut,
)
