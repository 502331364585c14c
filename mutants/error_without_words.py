"""A refusal has the right type and says nothing, so whoever sent the request cannot find out what to change."""

import dataclasses

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import BadTokens, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-003",)


class Wordless(Preparer):
    def validated(self, request: Request) -> Draft:
        try:
            return super().validated(request)
        except BadTokens:
            raise BadTokens("") from None


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant error without words",
    prepare=Wordless,
)
