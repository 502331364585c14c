"""After B112 (SGLang #27863): ids are checked for being positive only, and one beyond the table reads other memory in
a lookup kernel."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Identify, Runtime

BUG = "B112"
PARENT = "optimized"
ACCEPT = ("PREP-014",)


class AnyId(Preparer):
    def __init__(self, runtime: Runtime, identify: Identify) -> None:
        super().__init__(runtime, identify)
        self.spec = replace(runtime.spec, vocab_size=2**63 - 1)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant vocabulary unchecked",
    prepare=AnyId,
)
