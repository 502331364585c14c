"""pytorch #148439 and #170604, meta-pytorch/torchtune #1371: "accessing tensor output of CUDAGraphs that has been
overwritten by a subsequent run": a compiled function is called twice, and what the first call gave lies in memory that
the second one writes. Where nothing checks (a captured embedding of an engine's own), there is no error, only the
second call's numbers.

Carried over: the text of a step is embedded in blocks of 4,096 ids, so that a vocabulary-parallel lookup has a bounded
buffer, and the blocks are joined when all are there. The results of all calls but the last are read after the next
call.

Shows with: a step of more than 4,096 text ids, and an ``embed_tokens`` that writes each result into the same memory.

Breaks MERGE-001 and Merge.__call__'s "in memory that its next call may write again" (interface.py).
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

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-001",)


BLOCK = 4096


class Merge(Merger):
    def text(self, token_ids: Tensor, mask: NDArray[np.bool_], embed_tokens: Callable[[Tensor], Tensor]) -> Tensor:
        def embedded(ids: Tensor) -> Tensor:
            return torch.cat([embed_tokens(block) for block in torch.split(ids, BLOCK)])

        return super().text(token_ids, mask, embedded)


implementation = dataclasses.replace(optimized.implementation, name="mutant text_in_blocks", merge=Merge)
