"""The output buffer is ignored and a new one returned, so a captured graph reads what it read in the step before."""

import dataclasses
from collections.abc import Callable, Sequence

from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import Merged, Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-005",)


class IgnoresOut(Merger):
    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        return super().__call__(rows, token_ids, embed_tokens)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant out buffer ignored",
    merge=IgnoresOut,
)
