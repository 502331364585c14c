"""Two requests with one id in a call are both prepared, and whoever looks results up by id shows one user the
other's."""

import dataclasses

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-009",)


class Duplicates(Preparer):
    def check_request(self, request: Request, seen: set[str]) -> None:
        super().check_request(request, set())


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant duplicate ids unchecked",
    prepare=Duplicates,
)
