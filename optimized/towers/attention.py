"""Attention over tiles, plainly: the same work as the device's kernel, for the CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS_PER_TILE = 128
"""Query rows of a tile; the last one of a segment has fewer."""


@torch.library.custom_op("plumbline_towers::attention", mutates_args=("out",), device_types="cpu")
def attention(qkv: Tensor, tiles: Tensor, out: Tensor) -> None:
    """qkv: [P, 3, heads, head], queries and keys turned already. tiles: int32 [T, 3]: first query row, start and end of its
    segment; an empty segment is no tile. out: [P, heads * head]; rows of no tile are left as they are.

    An operator of torch, so that its tiles are read when it is done, not when it is queued.
    """
    for first, start, end in tiles.tolist():
        if first == start < end:
            # Fresh memory, so that where the segment lies in the call cannot matter to a kernel.
            q, k, v = qkv[start:end].permute(1, 2, 0, 3).contiguous().unsqueeze(1)
            mixed = F.scaled_dot_product_attention(q, k, v)
            out[start:end] = mixed[0].transpose(0, 1).flatten(1)
