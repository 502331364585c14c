"""llama.cpp #17123 (merged, for #17115 after #16928): an image's embeddings are handed on in batches, and each batch's place is
found with the model's embedding size, which with deepstack is only a part of an embedding's: the first batch is right, later
ones begin too early. "A quarter of the embeddings were still correct, which is enough to produce relatively ok results."

Here the rows of a precomputed item, which are main row and side rows beside each other, are taken apart block by block; where a
block begins is counted in main rows.

Shows: precomputed item of more than BLOCK rows, a tower with side levels. Right without side levels, and for the first block.
"""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-012", "ENC-010")

BLOCK = 16
"""Rows that are taken apart at one time, while they are in the processor's cache."""


class BlockwiseEncoder(PackingEncoder):
    def precomputed(self, item: Item) -> Encoded:
        parts = self.moved(self.opened(item))
        whole = torch.cat(list(parts)) if len(parts) > 1 else parts[0].contiguous()
        width, levels = self.spec.hidden_size, 1 + self.spec.side_levels
        flat, blocks = whole.reshape(-1), []
        for start in range(0, len(whole), BLOCK):
            count = min(BLOCK, len(whole) - start)
            blocks.append(flat[start * width :][: count * levels * width].view(count, levels, width))
        rows, *side = (
            torch.cat([whole[:0, :width], *(block[:, level] for block in blocks)]) for level in range(levels)
        )
        return Encoded(rows, tuple(side))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant later_blocks_by_main_width", encoder=BlockwiseEncoder
)
