"""After B089 (vLLM #46354): the ids in use are kept from call to call and never taken out, so a request that was
refused or is done cannot be sent again."""

import dataclasses

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Identify, Request, Runtime

BUG = "B089"
PARENT = "optimized"
ACCEPT = ("ISO-001",)


class Remembers(Preparer):
    def __init__(self, runtime: Runtime, identify: Identify) -> None:
        super().__init__(runtime, identify)
        self.known: set[str] = set()

    def check_request(self, request: Request, seen: set[str]) -> None:
        super().check_request(request, self.known)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant ids remembered across calls",
    prepare=Remembers,
)
