"""Encoded extras are remembered in a dictionary, to which 1, 1.0 and True are one key."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class Once(Identifier):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.encoded: dict[tuple[str, object], tuple[bytes, bytes]] = {}

    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        if isinstance(value, Tensor):
            return super().extra(name, value)
        if (name, value) not in self.encoded:
            self.encoded[name, value] = super().extra(name, value)
        return self.encoded[name, value]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant equal extras encoded once",
    identify=Once,
)
