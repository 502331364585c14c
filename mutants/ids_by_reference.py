"""vllm-ascend #2428 (``_seq_len_cached = seqlen`` keeps the tensor and not its values, and changes with the runner's buffer):
a step that is merged again, for a draft model's embeddings or after a failure, need not check and upload its ids again. Whether
it is the same step is asked of the ids that were kept, which are the caller's tensor.

Shows: the caller has one buffer for the ids of his steps and writes each step's into it (the tensor itself or a view of the
same memory), and two steps that follow each other have one length and their placeholders at the same places, as all steps of
text only of one length do. The second one's text rows are the first one's; an id outside the vocabulary goes unnoticed.
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
from plumbline.interface import BadTokens, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-001", "MERGE-002")


class RememberingMerger(Merger):
    """last: ids and mask of the last step, and its text ids on the device."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.last: tuple[Tensor, NDArray[np.bool_], Tensor] | None = None

    def text(self, token_ids: Tensor, mask: NDArray[np.bool_], embed_tokens: Callable[[Tensor], Tensor]) -> Tensor:
        if mask.all():
            return self.buffer(0)
        return embed_tokens(self.moved(token_ids, mask)).detach().to(self.spec.dtype)

    def moved(self, token_ids: Tensor, mask: NDArray[np.bool_]) -> Tensor:
        if self.last is not None:
            seen, where, moved = self.last
            if torch.equal(seen, token_ids) and np.array_equal(where, mask):
                return moved
        ids: NDArray[np.int64] = token_ids.numpy()[~mask]
        if ids.min() < 0 or ids.max() >= self.spec.vocab_size:
            raise BadTokens(f"text ids from {ids.min()} to {ids.max()}, outside [0, {self.spec.vocab_size})")
        moved = self.port.move(torch.from_numpy(ids))
        self.last = token_ids, mask.copy(), moved
        return moved


implementation = dataclasses.replace(optimized.implementation, name="mutant ids_by_reference", merge=RememberingMerger)
