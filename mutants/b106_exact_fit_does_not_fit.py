"""B106, vLLM #52306: off by one at the budget, so what would fill it exactly is cut in two."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Runtime, Tower

BUG = "B106"
PARENT = "optimized"
ACCEPT = ("ENC-002",)


class OneLess(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.most_patches -= 1


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b106_exact_fit_does_not_fit", encoder=OneLess
)
