"""After B112 (SGLang #27863): the id that equals the size of the vocabulary passes, and a lookup reads one row past
the table."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Identify, Runtime

BUG = "B112"
PARENT = "optimized"
ACCEPT = ("PREP-014",)


class OneMore(Preparer):
    def __init__(self, runtime: Runtime, identify: Identify) -> None:
        super().__init__(runtime, identify)
        self.spec = replace(runtime.spec, vocab_size=runtime.spec.vocab_size + 1)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant vocabulary bound off by one",
    prepare=OneMore,
)
