"""``optimized.towers.kernels.Kernels`` in plain torch: for the CPU, and for any device that torch alone knows."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from optimized.towers.attention import attention
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

WIDTH_STEP = 32
"""Where a row ends elsewhere, a product of bfloat16 may read on into the next row, and multiply by zero what may be NaN."""

LANES = 64
"""A multiple of what vectorised code treats at once in any dtype."""

SERIAL = 1 << 14
"""Elements that torch does not spread over threads."""


def wide(x: Tensor) -> torch.dtype:
    """The dtype of sums: at least float32."""
    return torch.promote_types(x.dtype, torch.float32)


def add_positions(x: Tensor, records: Tensor, table: Tensor, times: Tensor | None) -> None:
    taps = (records.shape[1] - 2) // 4
    down, across = records[:, 2 : 2 + taps], records[:, 2 + taps : 2 + 2 * taps]
    shares = records[:, 2 + 2 * taps : 2 + 4 * taps].view(torch.float32).to(wide(x))
    place = torch.zeros_like(x, dtype=wide(x)) if times is None else times[records[:, -1]].to(wide(x))
    for i in range(taps):
        for j in range(taps):
            share = shares[:, i, None] * shares[:, taps + j, None]
            place += table[down[:, i], across[:, j]] * share
    x.copy_(x + place)


def add_norm(x: Tensor, update: Tensor | None, norm: Norm, out: Tensor) -> None:
    if update is not None:
        x += update
    if norm.bias is not None:
        out[: len(x)] = F.layer_norm(x, x.shape[1:], norm.weight, norm.bias, norm.eps)
        return
    whole = x.to(wide(x))
    scale = torch.rsqrt(whole.square().mean(1, keepdim=True) + norm.eps)
    out[: len(x)] = norm.weight * (whole * scale).to(x.dtype)


def rotate(qkv: Tensor, records: Tensor, cos: Tensor, sin: Tensor) -> None:
    turned = qkv[:, :2]
    half = qkv.shape[-1] // 2
    c, s = (table[records[:, :2]].flatten(1).to(wide(qkv))[:, None, None] for table in (cos, sin))
    first, second = turned[..., :half].to(c.dtype), turned[..., half:].to(c.dtype)
    turned[..., :half], turned[..., half:] = first * c - second * s, second * c + first * s


def linear(x: Tensor, linear: Linear) -> Tensor:
    rest = linear.weight.shape[1] - x.shape[1]
    return F.linear(F.pad(x, (0, rest)) if rest else x, *linear)


def linear_gelu(x: Tensor, up: Linear) -> Tensor:
    return rowwise(lambda part: F.gelu(part, approximate="tanh"), linear(x, up))


def gelu(x: Tensor) -> Tensor:
    return rowwise(F.gelu, x)


def gated(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, dim=1)
    return rowwise(F.silu, gate) * up


def pool(x: Tensor, cells: Tensor, most: int) -> Tensor:
    first, step, count = cells.unbind(1)
    total = torch.zeros(len(cells), x.shape[1], dtype=wide(x), device=x.device)
    for frame in range(most):
        there = frame < count
        total += torch.where(there[:, None], x[first + step * frame * there], 0)
    return (total / count[:, None].clamp(min=1)).to(x.dtype)


def rowwise(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of each element of x [n, width], with the same bits wherever the element's row lies.

    Vectorised code treats the elements after the last whole vector one by one, with functions that round differently; each
    thread has such a rest. So each call has rows of whole vectors, and few enough for one thread.
    """
    width = x.shape[1]
    rest = -width % LANES
    parts = torch.split(x, max(1, SERIAL // (width + rest)))
    return torch.cat([function(F.pad(part, (0, rest)))[:, :width] for part in parts])
