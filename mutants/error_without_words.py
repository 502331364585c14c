"""A refusal has the right type and says nothing, so whoever sent the request cannot find out what to change."""

import dataclasses

from torch import Tensor

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadTokens

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-003",)


class Wordless(Preparer):
    def check_token_tensor(self, ids: Tensor, where: str) -> None:
        try:
            super().check_token_tensor(ids, where)
        except BadTokens:
            raise BadTokens("") from None


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant error without words",
    prepare=Wordless,
)
