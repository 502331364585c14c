"""Ours: a rank whose tower raised once encodes nothing from then on, and says why each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, EncodingFailed, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-003",)


class Out(SharedEncoder):
    failed: Encoded | PlumblineError | None = None

    def encoded(self, items: Sequence[Item]) -> tuple[list[Encoded | PlumblineError], Tensor]:
        if self.failed is not None:
            return [self.failed] * len(items), self.nothing
        results, block = super().encoded(items)
        self.failed = next((one for one in results if isinstance(one, EncodingFailed)), None)
        return results, block


class Shares(Embedder):
    sharing = Out


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank003_out_after_one_failure", embed=Shares
)
