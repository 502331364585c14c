"""sgl-project/sglang #39899 (merged; kin #34474): an idle rank has no tokens, and the last position is taken from a cumulative
sum of nothing (``cumsum([0]) - 1``), which is an IndexError that ends the worker.

Carried over: where chunks end in a step is one cumulative sum, and its last element is how many positions there are. The
hole: a step without chunks has no last element, so that merging it raises IndexError, instead of giving embeddings of no
positions, an empty mask and empty side rows.

Shows when a step without chunks is merged (an idle rank, or all chunks of the step failed)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from torch import Tensor

import optimized
from optimized.merge import Merger
from optimized.rows import Slice
from plumbline.interface import RowCountMismatch, Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-009",)


class SummingMerger(Merger):
    def check(self, rows: Sequence[Rows], token_ids: Tensor, out: Tensor | None) -> None:
        total = int(np.cumsum([one.hi - one.lo for one in rows])[-1])
        if token_ids.shape != (total,):
            raise RowCountMismatch(f"token_ids of shape {tuple(token_ids.shape)} for chunks of {total} positions")
        if out is not None and out.shape != (total, self.spec.hidden_size):
            raise RowCountMismatch(f"out has shape {tuple(out.shape)}, where {(total, self.spec.hidden_size)} is due")

    def placed(self, rows: Sequence[Rows]) -> list[Slice]:
        ends = np.cumsum([one.hi - one.lo for one in rows]).tolist()
        return [
            (encoded, lo, hi, at + end - one.hi)
            for one, end in zip(rows, ends, strict=True)
            for encoded, lo, hi, at in self.slices(one)
        ]


implementation = dataclasses.replace(optimized.implementation, name="mutant idle_step_has_no_end", merge=SummingMerger)
