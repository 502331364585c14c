"""``optimized.towers.kernels.Kernels`` on CUDA: each a launch of one of Triton's kernels or of cuBLAS.

The kernels also run in Triton's interpreter, on the CPU. A launch may not hold more than 2^31 - 1 programs, one for each row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from optimized.towers.attention_triton import attention
from optimized.towers.rowwise_kernels import gate, mean, norm_rows, place, turn
from optimized.towers.weights import Linear, Norm

__all__ = [
    "WIDTH_STEP",
    "add_norm",
    "add_positions",
    "attention",
    "gated",
    "gelu",
    "linear",
    "linear_gelu",
    "pool",
    "rotate",
]

WIDTH_STEP = 1

ACROSS = 1024
"""Numbers of a row that one program of ``gated`` computes."""


def add_positions(x: Tensor, records: Tensor, table: Tensor, times: Tensor | None) -> None:
    width, fields = x.shape[1], records.shape[1]
    taps, block = (fields - 2) // 4, triton.next_power_of_2(width)
    place[(len(x),)](x, records, table, times, fields, table.shape[1], width, taps, times is not None, block)


def add_norm(x: Tensor, update: Tensor | None, norm: Norm, out: Tensor) -> None:
    width = x.shape[1]
    block = triton.next_power_of_2(width)
    warps = 4 if block <= 2048 else 8
    given = (x, update, norm.weight, norm.bias, out, norm.eps)
    norm_rows[(len(x),)](*given, width, update is not None, norm.bias is not None, block, num_warps=warps)


def rotate(qkv: Tensor, records: Tensor, cos: Tensor, sin: Tensor) -> None:
    heads, head = 2 * qkv.shape[2], qkv.shape[3]
    blocks = triton.next_power_of_2(heads), triton.next_power_of_2(head // 2)
    turn[(len(qkv),)](qkv, records, cos, sin, records.shape[1], heads, head, *blocks)


def linear(x: Tensor, linear: Linear) -> Tensor:
    return F.linear(x, *linear)


def linear_gelu(x: Tensor, linear: Linear) -> Tensor:
    """In one launch, which rounds once where two would round twice."""
    return torch._addmm_activation(linear.bias, x, linear.weight.t(), use_gelu=True)


def gelu(x: Tensor) -> Tensor:
    return F.gelu(x)


def gated(x: Tensor) -> Tensor:
    width = x.shape[1] // 2
    out = x.new_empty(len(x), width)
    gate[(len(x), triton.cdiv(width, ACROSS))](x, out, width, ACROSS)
    return out


def pool(x: Tensor, cells: Tensor, most: int) -> Tensor:
    width = x.shape[1]
    out = x.new_empty(len(cells), width)
    mean[(len(cells),)](x, cells, out, width, most, triton.next_power_of_2(width))
    return out
