"""B057, SGLang #40072: a worker that only prepares asks for pinned memory, and has a context on the device from then on."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Identify, Runtime

BUG = "B057"
PARENT = "optimized"
ACCEPT = ("MOVE-011",)


class Pins(Preparer):
    def __init__(self, runtime: Runtime, identify: Identify) -> None:
        super().__init__(runtime, identify)
        self.buffer = runtime.port.pinned(1 << 16)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b057_prepared_in_pinned_memory", prepare=Pins
)
