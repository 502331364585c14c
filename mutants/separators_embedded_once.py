"""vLLM #56231 (merged; found in review): the text between the frames of a video ("Frame 1 sampled at ...", the marks around
a frame) is embedded apart from the prompt's text, with the base weights, and so without the adapter's part.

Carried over: where a step is placeholders and a few separators, these are the same ones again and again, so their
embeddings are remembered by their ids and the table is not asked again.

Shows in a step with placeholders and one to eight text tokens, which came before in that order, when ``embed_tokens`` gives
other rows than it did then: weights were updated, another adapter or another table. The text has the old embeddings. Steps
of more text, or of text alone, are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-001",)

FEW = 8
MOST = 1024


class SeparatorMerger(Merger):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.separators: dict[bytes, Tensor] = {}

    def text(self, token_ids: Tensor, mask: NDArray[np.bool_], embed_tokens: Callable[[Tensor], Tensor]) -> Tensor:
        ids = token_ids.numpy()[~mask]
        if not 0 < len(ids) <= FEW or not mask.any():
            return super().text(token_ids, mask, embed_tokens)
        known = self.separators.get(ids.tobytes())
        if known is None:
            if len(self.separators) >= MOST:
                self.separators.clear()
            # A copy, since the table's memory may be written again by its next call.
            known = self.separators[ids.tobytes()] = super().text(token_ids, mask, embed_tokens).clone()
        return known


implementation = dataclasses.replace(
    optimized.implementation, name="mutant separators_embedded_once", merge=SeparatorMerger
)
