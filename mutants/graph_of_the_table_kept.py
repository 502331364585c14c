"""transformers #33307 (merged) and optimum-habana #1970 (merged): rows are written into embeddings that still belong to the
table's graph ("a leaf Variable that requires grad is being used in an in-place operation"); works under no_grad only.

Carried over: text embeddings are taken as ``embed_tokens`` gives them, without detaching, since "engines run without grad".

Shows when ``embed_tokens`` is a module whose table requires grad (nn.Embedding as it is made) and the caller has grad enabled:
with ``out``, torch.cat raises RuntimeError, untyped; without, ``embeds`` requires grad, refuses ``numpy()``, and keeps the step's
graph alive. Steps without text are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import BadTokens

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-009",)


class AttachedMerger(Merger):
    def text(self, token_ids: Tensor, mask: NDArray[np.bool_], embed_tokens: Callable[[Tensor], Tensor]) -> Tensor:
        ids: NDArray[np.int64] = token_ids.numpy()[~mask]
        if not len(ids):
            return self.buffer(0)
        if ids.min() < 0 or ids.max() >= self.spec.vocab_size:
            raise BadTokens(f"text ids from {ids.min()} to {ids.max()}, outside [0, {self.spec.vocab_size})")
        return embed_tokens(self.port.move(torch.from_numpy(ids))).to(self.spec.dtype)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant graph_of_the_table_kept", merge=AttachedMerger
)
