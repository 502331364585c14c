"""What a tower does beside linears, and who does it: the choice by device is made here and nowhere else.

All of them give a row the same bits wherever it lies and whatever lies beside it.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import torch
from torch import Tensor

from optimized.towers.weights import Linear, Norm


class Kernels(Protocol):
    """P patches, R rows, in the tower's dtype but for what is said. ``records`` are int32, with bits of float32 in some."""

    def add_positions(self, x: Tensor, records: Tensor, table: Tensor, times: Tensor | None) -> None:
        """In place: x [P, width] grows by the weighted sum of places of ``table`` [down, across, width], and by a row of
        ``times``, float32 [frames, width]. records: [P, 2 + 4 n (+ 1)], from the third number on n places down, n across,
        n shares down and n across; where there are times, the last one is the frame."""
        ...

    def add_norm(self, x: Tensor, update: Tensor | None, norm: Norm, out: Tensor) -> None:
        """x [n, width] grows by ``update`` in place, and its normalised rows are the first n of ``out``."""
        ...

    def rotate(self, qkv: Tensor, records: Tensor, cos: Tensor, sin: Tensor) -> None:
        """In place: turns the queries and keys of [P, 3, heads, head]. A number j of a head's first half and its fellow of the
        second turn by the angle of the patch's row (j in the first quarter) or column. records: [P, 2 or more], row and column
        first. cos, sin: float32 [places, head / 4]."""
        ...

    def attention(self, qkv: Tensor, tiles: Tensor, out: Tensor) -> None:
        """See ``optimized.towers.attention``."""
        ...

    WIDTH_STEP: int
    """The inputs of a linear's weight are a multiple of it, filled up with zeros."""

    def linear(self, x: Tensor, linear: Linear) -> Tensor:
        """x: [n, inputs], or fewer than the weight has where those beyond are zeros that were filled up."""
        ...

    def linear_gelu(self, x: Tensor, linear: Linear) -> Tensor:
        """GELU, by its formula with tanh, of a linear."""
        ...

    def gelu(self, x: Tensor) -> Tensor:
        """GELU, by its definition."""
        ...

    def gated(self, x: Tensor) -> Tensor:
        """[P, 2 n] -> [P, n]: SiLU of the first half times the second."""
        ...

    def pool(self, x: Tensor, cells: Tensor, most: int) -> Tensor:
        """[C, width]: means of rows of x [P, width]. cells: int32 [C, 3]: the first row, the step to the next one, and how many,
        at most ``most``; a cell of none is zero."""
        ...


def kernels_for(device: torch.device) -> Kernels:
    """Triton's on CUDA, torch's anywhere else."""
    name = "kernels_cuda" if device.type == "cuda" else "kernels_host"
    kernels: Kernels = importlib.import_module(f"optimized.towers.{name}")
    return kernels
