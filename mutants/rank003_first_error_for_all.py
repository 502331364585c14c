"""SGLang #37030 in kind: all failures of a rank in a step become the first of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "RANK-003",
    "ENC-006",
)


class FirstError(SharedEncoder):
    def encoded(self, items: Sequence[Item]) -> tuple[list[Encoded | PlumblineError], Tensor]:
        results, block = super().encoded(items)
        first = next((one for one in results if isinstance(one, PlumblineError)), None)
        return [first if first and isinstance(one, PlumblineError) else one for one in results], block


class Shares(Embedder):
    sharing = FirstError


implementation = dataclasses.replace(optimized.implementation, name="mutant rank003_first_error_for_all", embed=Shares)
