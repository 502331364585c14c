"""What the plain towers have in common: loading, and the operations that keep an item's bits (NUM-001).

**Bits.** The rows of an item must not depend on what else is in the call, bit for bit. Four things see to it:

- **Row floor.** A matrix product may add up the same products in another order when it has few rows (another kernel, or
  a sum split over cores). So every linear pads its input with zero rows up to ``row_floor`` and drops them again. What
  is enough depends on device, library, threads, dtype and shape: ``plumbline.certify`` finds it. 1 claims nothing.
- **Segments.** Attention and activations run segment by segment on operands of their own, so that the kernel depends on
  the segment alone. Activations, too: vectorised code treats the last elements of a tensor one by one, with functions
  that round differently, and which elements are last would depend on the other items.
- **Grids.** Positions are computed for each item from its own grid.

- **Widths.** A product of bfloat16 may read on where a row ends, into the next one, and multiply by zero what it finds,
  which may be NaN. It does not where a row's length is a multiple of 32; so rows are filled up with zeros.

The rest (norms, sums, products) gives a row the same bits wherever it lies, which certificates check, too.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.interface import BadCheckpoint, Checkpoint, Encoded, Layout, Modality, Packed, TowerSpec
from reference.towers.checkpoint import check_shapes

WIDTH_STEP = 32
"""Inputs of every linear are a multiple of it (see the top of the file)."""


class Config(Protocol):
    """What the configuration of every family tells. Configurations are equal where a checkpoint can replace another."""

    @property
    def out_hidden_size(self) -> int: ...

    @property
    def side_levels(self) -> int: ...

    def layout(self, placeholder_id: int) -> Layout:
        """That of images and of videos."""
        ...

    def linears(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of every linear, by name."""
        ...

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight, by its name in a checkpoint."""
        ...


class PlainTower(ABC):
    """``plumbline.interface.LoadedTower``: the weights of one checkpoint, and what is done with them in every family. NUM-001."""

    name: ClassVar[str]
    config: Config

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        """Raises BadCheckpoint: a file or field is missing, or a weight is missing, unexpected or of another shape."""
        self.dtype, self.device, self.epoch, self.row_floor = checkpoint.dtype, device, 0, 1
        # Positions, norms and softmax want at least float32, whatever the weights are stored in.
        self.wide = torch.promote_types(self.dtype, torch.float32)
        self.config, self.weights = self.read(checkpoint.folder)
        weights = (self.weights[f"{name}.weight"] for name in self.config.linears())
        self.linear_shapes = tuple(sorted({(len(weight), weight.shape[1]) for weight in weights}))
        places = {Modality.IMAGE: checkpoint.image_token_id, Modality.VIDEO: checkpoint.video_token_id}
        self.spec = TowerSpec(
            name=self.name,
            hidden_size=self.config.out_hidden_size,
            side_levels=self.config.side_levels,
            vocab_size=checkpoint.vocab_size,
            dtype=self.dtype,
            payload_dtypes=frozenset({torch.float32, torch.bfloat16, torch.float16, self.dtype}),
            layouts={modality: self.config.layout(placeholder) for modality, placeholder in places.items()},
        )

    @abstractmethod
    def stored(self, folder: Path) -> tuple[Config, dict[str, Tensor]]:
        """The configuration of a checkpoint, and its weights under the names of the configuration. Raises BadCheckpoint."""

    @abstractmethod
    def __call__(self, packed: Packed) -> Encoded:
        """At least one item, all with grids. rows: [R, hidden_size], R as the layout says, in memory of their own. GRAPH-006."""

    def update(self, folder: Path, epoch: int) -> None:
        """Other weights of the same configuration. Raises BadCheckpoint, and then nothing has changed.

        In memory of their own, so that rows that are still to be computed have the weights of their call. EPOCH-003,
        EPOCH-004.
        """
        config, weights = self.read(folder)
        if config != self.config:
            raise BadCheckpoint("another configuration than the tower was loaded with", where="config.json")
        self.weights, self.epoch = weights, epoch

    def read(self, folder: Path) -> tuple[Config, dict[str, Tensor]]:
        """The configuration, and exactly the weights that it asks for, as the arithmetic wants them. Raises BadCheckpoint."""
        config, weights = self.stored(folder)
        check_shapes(weights, config.shapes(), folder)
        # A convolution whose stride is its size is a linear over flattened patches.
        flat = {name: weight.flatten(1) if weight.ndim > 3 else weight for name, weight in weights.items()}
        wide = {f"{name}.weight": -inputs % WIDTH_STEP for name, (_, inputs) in config.linears().items()}
        filled = {name: F.pad(weight, (0, wide.get(name, 0))) for name, weight in flat.items()}
        return config, {name: weight.to(self.device, self.dtype) for name, weight in filled.items()}

    def linear(self, x: Tensor, name: str) -> Tensor:
        """x @ weight.T + bias, with never fewer than ``row_floor`` rows in the product (see the top of the file)."""
        weight = self.weights[f"{name}.weight"]
        # Where there is no bias it is zero, so that every product runs in the kernel that was certified.
        bias = self.weights.get(f"{name}.bias", weight.new_zeros(len(weight)))
        filled = F.pad(x, (0, weight.shape[1] - x.shape[1], 0, max(0, self.row_floor - len(x))))
        return F.linear(filled, weight, bias)[: len(x)]

    def layer_norm(self, x: Tensor, name: str, eps: float) -> Tensor:
        return F.layer_norm(x, x.shape[1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], eps)

    def attention(self, qkv: Tensor, cos: Tensor, sin: Tensor, lengths: list[int]) -> Tensor:
        """Each patch looks at all patches of its own segment. qkv: [P, 3, heads, head] -> [P, heads * head].

        cos, sin: [P, head / 2]. lengths: of the segments, in patches.
        """
        mixed = []
        for part, c, s in zip(*(torch.split(t, lengths) for t in (qkv, cos, sin)), strict=True):
            # contiguous(): fresh memory, so that where the segment lay in the call cannot matter to a kernel.
            q, k, v = part.permute(1, 2, 0, 3).contiguous()
            q, k = rotate(q, c, s), rotate(k, c, s)
            scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
            shares = scores.softmax(-1, dtype=self.wide).to(qkv.dtype)
            mixed.append((shares @ v).transpose(0, 1).flatten(1))
        return torch.cat(mixed)


def by_segment(function: Callable[[Tensor], Tensor], x: Tensor, lengths: list[int]) -> Tensor:
    """``function`` of each segment by itself. lengths: of the segments, in rows of ``x``."""
    return torch.cat([function(part) for part in torch.split(x, lengths)])


def merge_order(height: int, width: int, merge: int) -> tuple[Tensor, Tensor]:
    """Row and column of each patch of a frame, merge x merge block by block: two int64 [height * width].

    merge 1 is row by row.
    """
    frame = torch.arange(height * width).view(height // merge, merge, width // merge, merge)
    order = frame.transpose(1, 2).flatten()
    return order // width, order % width


def axial_angles(row: Tensor, column: Tensor, head: int, theta: float) -> tuple[Tensor, Tensor]:
    """By how much row and column turn the pairs of a head: two float32 [P, head / 4].

    Angles are float32 constants that the weights were trained with, so they are float32 in wider towers, too.
    """
    turns = 1.0 / theta ** (torch.arange(0, head // 2, 2, dtype=torch.float32) / (head // 2))
    return row[:, None] * turns, column[:, None] * turns


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns pairs of a head's numbers (one from each half) by the angles of the patch's place. x: [heads, n, head]."""
    first, second = x.to(cos.dtype).chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)
