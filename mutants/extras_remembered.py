"""pyston_v1 #725 (fixed): floats cached by value, so that 0.0 and -0.0 are one entry. Kin: dace #2404, streamlit #1608
(lru_cache takes True, 1 and 1.0 for one key).

Carried over: the encoding of a scalar extra (frame rate, crop box edge, rotation, ...) is remembered. Whoever knows of the
second bug writes ``typed=True``, which tells bool, int and float apart, and still takes 0.0 and -0.0 for equal.

Shows when one identifier sees both zeros under one name: the later one has the bytes of the earlier one. Two different
items have one digest, and an item's digest depends on what was identified before it in this process.
"""

from __future__ import annotations

import dataclasses
import functools

import optimized
from optimized.identify import Identifier
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)
SCALARS = (bool, int, float, str, bytes)


class RememberingIdentifier(Identifier):
    """The same few values come with every request."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.scalar = functools.lru_cache(maxsize=1024, typed=True)(super().extra)

    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        return self.scalar(name, value) if type(value) in SCALARS else super().extra(name, value)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant extras_remembered", identify=RememberingIdentifier
)
