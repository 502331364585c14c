"""DeepSpeed #2489 (merged): reshape of a tensor that is not contiguous is a copy, and what is copied into it in place never
reaches the tensor. The same was found in review of flashinfer #2509; InternVL's forward (#586) writes rows into such a reshape.

Carried over: the merge fills ``out`` through its flat view, part by part, instead of with one concatenation. Where ``out`` is a
window of wider memory, that view is a copy: the returned embeddings are right, and ``out`` keeps what was in it.

Shows when ``out`` is not contiguous (columns of a wider buffer, every second row, a transposed buffer) and the caller reads
``out`` itself, as a captured graph does. Contiguous buffers and their leading rows are right.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.merge import Merger

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-005",)


class FlatMerger(Merger):
    def join(self, parts: list[Tensor], out: Tensor | None = None) -> Tensor:
        if out is None:
            return super().join(parts)
        flat = out.reshape(-1)
        start = 0
        for part in parts:
            end = start + part.numel()
            flat[start:end].copy_(part.reshape(-1))
            start = end
        return flat.view(out.shape)


implementation = dataclasses.replace(optimized.implementation, name="mutant strided_out_is_copied", merge=FlatMerger)
