"""Attention over segments of any lengths, in one Triton kernel.

A program computes a tile of query rows of one head. It walks the keys of its segment from the segment's start in blocks of one
size, so that a row's arithmetic depends on its own segment alone: the same bits alone, in any company and in any order.
cuDNN's kernel is as fast (``benchmarks/device_attention.py``), but wants segments of one length, and a plan for each length.

Heads are cut in two, 72 = 64 + 8, because matrix units want powers of two and 128 would waste half of their work.
"""

from __future__ import annotations

import math

import torch
import triton
from torch import Tensor

from optimized.towers.attention import ROWS_PER_TILE
from optimized.towers.attention_kernel import attend

KEYS = 64
"""Keys of a step."""


def attention(qkv: Tensor, tiles: Tensor, out: Tensor) -> None:
    """Writes the rows of ``out`` that ``tiles`` name; others stay as they are.

    qkv: [P, 3, heads, size], contiguous, size at least 16. tiles: int32 [T, 3], first query row, and start and end of its
    segment; one whose start is its end does nothing. out: [P, heads * size], contiguous, of the same dtype. On a GPU.
    """
    _, _, heads, size = qkv.shape
    first = 1 << size.bit_length() - 1
    attend[(len(tiles), heads)](
        *(qkv, tiles, out, size**-0.5 * math.log2(math.e), heads, size, first),
        REST=max(16, triton.next_power_of_2(size - first)),
        TILE=ROWS_PER_TILE,
        KEYS=KEYS,
        PRECISION="ieee" if qkv.dtype is torch.float32 else "tf32",
        num_warps=4,
        num_stages=3,
    )
