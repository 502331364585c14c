"""vLLM #40145 and #44384 (Qwen3-VL's persistent deepstack buffers, of which the valid length is tracked), and vllm-omni #3164
(review): reusable buffers returned by reference, rewritten by the next step while the last one's are still queued.

Carried over: side rows of a step go into buffers that the merger keeps and grows, one for each level; ``Merged.side`` shows
their beginning. The input embeddings are made anew as before.

Shows when the side rows of one step are read after the next merge: a step that is prepared while the last one runs, two
micro-batches, two merges compared. Towers without side levels are right, and so is whoever uses each result at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.merge import Merger
from optimized.rows import Slice, cut
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-008",)


class BufferedMerger(Merger):
    """kept: [n, hidden_size] for each level, as long as the longest step had rows, and then some."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.kept = [self.buffer(0) for _ in range(self.spec.side_levels)]

    def side(self, placed: Sequence[Slice]) -> tuple[Tensor, ...]:
        count = sum(hi - lo for _, lo, hi, _ in placed)
        if self.kept and len(self.kept[0]) < count:
            self.kept = [self.buffer(max(64, 2 * count)) for _ in self.kept]
        none = self.buffer(0)
        return tuple(
            torch.cat([none, *(cut(encoded.side[level], lo, hi) for encoded, lo, hi, _ in placed)], out=kept[:count])
            for level, kept in enumerate(self.kept)
        )


implementation = dataclasses.replace(
    optimized.implementation, name="mutant side_rows_in_a_buffer", merge=BufferedMerger
)
