"""sgl-project/sglang #35440 (``mm_input_embeds`` is a reference to a tensor that somebody overwrites in place), by the early
return for a batch without multimodal rows that huggingface/transformers #46376 has.

Carried over: a step of text alone needs no joining, so what the token embedding returned is handed on as it came instead of
being copied once more. The hole: that memory is not the caller's. Where the token embedding has an output buffer of its own
(a captured graph, a static buffer), the next step's lookup changes the embeddings of this one, and a caller who writes into
its embeddings writes into that buffer.

Shows when a step has no placeholder, no ``out`` is given, and ``embed_tokens`` returns memory that it keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import optimized
from optimized.merge import Merger
from plumbline.interface import Merged, Rows

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-008",)


class ShortMerger(Merger):
    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        self.check(rows, token_ids, out)
        if out is not None or self.placed(rows):
            return super().__call__(rows, token_ids, embed_tokens, out)
        mask = torch.zeros(len(token_ids), dtype=torch.bool)
        return Merged(self.text(token_ids, mask.numpy(), embed_tokens), mask, self.side([]))


implementation = dataclasses.replace(optimized.implementation, name="mutant text_step_as_it_came", merge=ShortMerger)
