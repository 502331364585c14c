"""llama.cpp #17123 (merged, after #16928): mtmd steps through Qwen3-VL's image embeddings, which hold the deepstack levels beside
the main row, by the size of a main row. "I guess a quarter of the embeddings were still correct which is enough to produce
relatively ok results."

Here the tensors of a precomputed payload are brought together in one flat copy, and each is found in it after as many hidden
sizes as there were rows before, which is too early where rows are wider than that.

Shows: tower with side levels, precomputed payload divided into two tensors or more: from the second tensor on rows and side
rows are others, silently. A single tensor, and towers without side levels, are right.
"""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-012", "ENC-010", "ITEM-013", "ENC-005")


class FlatEncoder(PackingEncoder):
    def precomputed(self, item: Item) -> Encoded:
        parts = self.moved(self.opened(item))
        hidden, levels = self.spec.hidden_size, 1 + self.spec.side_levels
        flat = torch.cat([part.reshape(-1) for part in parts])
        whole = flat.new_empty((sum(len(part) for part in parts), hidden * levels))
        first = 0
        for part in parts:
            at = first * hidden
            whole[first : first + len(part)] = flat[at : at + part.numel()].view(part.shape)
            first += len(part)
        rows, *side = (whole[:, level * hidden : (level + 1) * hidden].clone() for level in range(levels))
        return Encoded(rows, tuple(side))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant later_parts_by_hidden_size", encoder=FlatEncoder
)
