"""The layers that all families share: attention and an MLP, each normalised before and added to what flows past."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optimized.towers.kernels import Kernels
from optimized.towers.weights import Block, Merger, Norm

SIDE = 8192
"""Patches along the longest side of a frame that can be encoded: places whose angles are kept."""


class Turns(NamedTuple):
    """Cosines and sines of every place's angles: two float32 [SIDE, head / 4]."""

    cos: Tensor
    sin: Tensor

    @staticmethod
    def of(head: int, theta: float) -> Turns:
        """On the CPU. Angles are float32 as in training, whatever the tower's dtype."""
        speeds = 1.0 / theta ** (torch.arange(0, head // 2, 2, dtype=torch.float32) / (head // 2))
        angles = torch.arange(SIDE, dtype=torch.float32)[:, None] * speeds
        return Turns(angles.cos(), angles.sin())


class Stream:
    """What the layers add to: x [P, width]. The last addition is made together with the norm that follows it.

    mixed: for what attention gives, and zero where it gives nothing.
    """

    def __init__(self, x: Tensor, kernels: Kernels) -> None:
        self.x, self.kernels = x, kernels
        self.pending: Tensor | None = None
        self.mixed = torch.zeros_like(x)

    def add(self, update: Tensor) -> None:
        self.pending = update

    def normed(self, norm: Norm, rows: int = 0) -> Tensor:
        """[max(P, rows), width], zero from row P on."""
        out = normed(self.x, self.pending, norm, rows, self.kernels)
        self.pending = None
        return out

    def settled(self) -> Tensor:
        """x with all that was added."""
        if self.pending is not None:
            self.x += self.pending
            self.pending = None
        return self.x


def normed(x: Tensor, update: Tensor | None, norm: Norm, rows: int, kernels: Kernels) -> Tensor:
    """[max(len(x), rows), width], zero after the rows of x [n, width], which grows by ``update`` in place."""
    out = x.new_empty(max(len(x), rows), x.shape[1])
    kernels.add_norm(x, update, norm, out)
    if len(out) > len(x):
        out[len(x) :].zero_()
    return out


def merged(x: Tensor, merger: Merger, kernels: Kernels) -> Tensor:
    """Rows of the language model, of the joined and normalised patches of each."""
    return kernels.linear(kernels.gelu(kernels.linear(x, merger.up)), merger.down)


def through(
    block: Block,
    stream: Stream,
    mlp: Callable[[Tensor, Block], Tensor],
    turns: Turns,
    heads: int,
    records: Tensor,
    tiles: Tensor,
) -> None:
    """One layer. records: int32 [P, 2 or more], row and column first. tiles: the segments that may see each other."""
    kernels = stream.kernels
    qkv = kernels.linear(stream.normed(block.before), block.qkv).view(len(stream.x), 3, heads, -1)
    kernels.rotate(qkv, records, *turns)
    kernels.attention(qkv, tiles, stream.mixed)
    stream.add(kernels.linear(stream.mixed, block.proj))
    stream.add(mlp(stream.normed(block.after), block))
