"""A fast tower: a plan on the host, one copy up, and work on the device whose shape the plan alone decides.

Bits. The rows of an item do not depend on what else is in the call (NUM-001): attention goes over tiles of one size, each
within its segment; everything else goes row by row; and linears, whose libraries add up in other orders where rows are few,
get at least ``row_floor`` of them. Rows of padding hold anything, and nothing that is kept depends on them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from optimized.graphs import GraphCache
from optimized.staging import StagingRing
from optimized.towers.checkpoint import Stored, read_config, require
from optimized.towers.kernels import kernels_for
from optimized.towers.plan import Fields, Plan, Records, Shape, plan
from optimized.towers.trunk import SIDE, Turns
from optimized.towers.weights import Block, Linear, Read, mapped, tensors, widened
from plumbline.interface import (
    BadCheckpoint,
    BadGrid,
    BadPayload,
    Checkpoint,
    DevicePort,
    Encoded,
    Layout,
    Modality,
    Packed,
    TowerSpec,
)

GRAPHED = 8192
"""Patches, with padding, of the largest calls that are captured: in larger ones launches cost nothing."""


class Layered(Protocol):
    """A tree of weights, with those of the layers."""

    @property
    def blocks(self) -> tuple[Block, ...]: ...


Config = TypeVar("Config")
Weights = TypeVar("Weights", bound=Layered)


class FastTower(ABC, Generic[Config, Weights]):
    """``plumbline.interface.LoadedTower``: what the families share.

    A family says what it reads of a configuration (``config_of``), what a checkpoint holds (``shapes``), what is made of it
    (``weights_of``), what a plan's records are (``records``), and what is done (``forward``).
    """

    roots: ClassVar[tuple[str, ...]] = ("",)
    """How the names of a tower's weights begin, after what stands before all of them."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        port: DevicePort,
        config: Config,
        *,
        name: str,
        hidden_size: int,
        side_levels: int,
        layout: Mapping[str, Any],
        turns: Turns,
        records: Records,
    ) -> None:
        """layout: fields of every modality's layout but the placeholder. Raises BadCheckpoint."""
        if port.device.type == "cuda":
            require(
                {
                    "float64 is for the CPU only": checkpoint.dtype is not torch.float64,
                    "heads must have at least 16 numbers on a GPU": 4 * turns.cos.shape[1] >= 16,
                }
            )
        self.config = config
        places = {Modality.IMAGE: checkpoint.image_token_id, Modality.VIDEO: checkpoint.video_token_id}
        self.spec = TowerSpec(
            name=name,
            hidden_size=hidden_size,
            side_levels=side_levels,
            vocab_size=checkpoint.vocab_size,
            dtype=checkpoint.dtype,
            payload_dtypes=frozenset({torch.float32, torch.bfloat16, torch.float16, checkpoint.dtype}),
            layouts={modality: Layout(place, has_grid=True, **layout) for modality, place in places.items()},
        )
        self.epoch, self.row_floor = 0, 1
        self.port, self.device = port, port.device
        self.staging = StagingRing(port) if port.device.type != "cpu" else None
        self.graphs = GraphCache(port) if port.device.type != "cpu" else None
        self.records = records
        self.kernels = kernels_for(port.device)
        self.turns = mapped(turns, port.move)
        # Tensors of inference mode could be updated in no other.
        with torch.inference_mode(False), torch.no_grad():
            self.weights = mapped(self.read(checkpoint.folder), port.move)

    @property
    def linear_shapes(self) -> tuple[tuple[int, int], ...]:
        return tuple(sorted({linear.shape for linear in linears(self.weights)}))

    # ---------------------------------------------------------------------------------------------------- the families

    @staticmethod
    @abstractmethod
    def config_of(raw: Mapping[str, Any]) -> Config:
        """All that the tower reads of ``config.json``. Raises BadCheckpoint."""

    @abstractmethod
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every weight in a checkpoint, by its name there."""

    @abstractmethod
    def weights_of(self, read: Read) -> Weights:
        """What the tower computes with, fused and permuted as it likes, on the CPU."""

    @abstractmethod
    def forward(self, patches: Tensor, fields: Fields, shape: Shape) -> tuple[Tensor, ...]:
        """Rows [shape.rows, hidden_size] and those of each side level. patches: [shape.patches, width], of the tower's dtype.

        Work on the device and nothing else, the same for all calls of ``shape``. Patches and rows beyond the plan's own hold
        any numbers.
        """

    # --------------------------------------------------------------------------------------------------------- a call

    def __call__(self, packed: Packed) -> Encoded:
        """At least one item. rows and each of side: [R, hidden_size].

        Raises BadGrid: a side is longer than ``SIDE``; and BadPayload: there are not the patches that the grids tell.
        """
        # Triton launches on the thread's current device, wherever its tensors are.
        here = torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
        with torch.no_grad(), here:
            return self.encoded(packed)

    def encoded(self, packed: Packed) -> Encoded:
        if (longest := max(max(item.grid_thw[1:]) for item in packed.items if item.grid_thw is not None)) > SIDE:
            raise BadGrid(f"a side of {longest} patches, at most {SIDE}", hint="scale the picture down")
        made = plan(packed, self.records)
        if not made.shape.patches == len(packed.patches) == int(packed.cu_seqlens[-1]):
            counts = f"{len(packed.patches)} patches in segments of {int(packed.cu_seqlens[-1])} together"
            raise BadPayload(f"{counts}, but {made.shape.patches} in the grids", hint="send what the grids say")
        shape = made.shape.above(self.row_floor)
        captured = self.graphs is not None and shape.patches <= GRAPHED
        rows, *side = self.run(packed.patches, made, shape.bucket() if captured else shape, captured)
        count = made.shape.rows
        return Encoded(rows[:count], tuple(level[:count] for level in side))

    def run(self, patches: Tensor, made: Plan, shape: Shape, captured: bool) -> tuple[Tensor, ...]:
        """What ``forward`` gives. shape: any that holds the plan. captured: replayed as a graph."""
        inputs = self.padded(patches, shape.patches), self.up(made.padded(shape, self.records))

        def body(patches: Tensor, vector: Tensor) -> tuple[Tensor, ...]:
            return self.forward(patches, Fields.of(vector, shape, self.records), shape)

        return self.graphs(shape, body, inputs) if captured and self.graphs is not None else body(*inputs)

    def up(self, vector: Tensor) -> Tensor:
        return self.staging.upload([vector]) if self.staging else vector

    def padded(self, patches: Tensor, count: int) -> Tensor:
        """[count, width] in the tower's dtype, zero after the last patch; a copy only where it is not so already."""
        flat = patches.flatten(1)
        if len(flat) == count:
            return flat.to(self.spec.dtype)
        out = torch.empty(count, flat.shape[1], dtype=self.spec.dtype, device=flat.device)
        out[: len(flat)] = flat
        out[len(flat) :].zero_()
        return out

    # -------------------------------------------------------------------------------------------------------- weights

    def read(self, folder: Path) -> Weights:
        """The weights of a checkpoint of this configuration, on the CPU. Raises BadCheckpoint."""
        if self.config_of(read_config(folder)) != self.config:
            raise BadCheckpoint("another configuration than the tower's", where="config.json")
        # Copied, since what is stored is a mapping of the file, and changes with it.
        copied = mapped(self.weights_of(self.stored(folder)), lambda weight: weight.to(self.spec.dtype, copy=True))
        return mapped(copied, lambda linear: widened(linear, self.kernels.WIDTH_STEP), Linear)

    def stored(self, folder: Path) -> Read:
        """The weights of a checkpoint by the names of ``shapes``. Raises BadCheckpoint."""
        return Stored(folder, self.shapes(), self.roots)

    @torch.no_grad()
    def update(self, folder: Path, epoch: int) -> None:
        """See ``plumbline.interface.LoadedTower``. Into the same memory, since captured work reads it there."""
        fresh = self.read(folder)
        for old, new in zip(tensors(self.weights), tensors(fresh), strict=True):
            old.copy_(new)
        self.epoch = epoch


class GeluTower(FastTower[Config, Weights]):
    """A tower whose layers have two linears with a GELU between them, which is one operation with the first."""

    def fused_linears(self) -> Mapping[tuple[int, int], Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """See ``plumbline.interface.FusesLinears``."""

        def fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return self.kernels.linear_gelu(x, Linear(weight, bias))

        return dict.fromkeys([block.up.shape for block in self.weights.blocks], fused)

    def mlp(self, x: Tensor, block: Block) -> Tensor:
        return self.kernels.linear(self.kernels.linear_gelu(x, block.up), block.down)


def linears(tree: object) -> list[Linear]:
    """All linears of a tree."""
    if isinstance(tree, Linear):
        return [tree]
    return [found for branch in tree for found in linears(branch)] if isinstance(tree, tuple) else []
