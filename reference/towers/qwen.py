"""What the vision towers of Qwen2.5-VL and Qwen3-VL have in common: patches in merge order, rotation, attention."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from plumbline.interface import Layout
from reference.towers.arithmetic import PlainTower, axial_angles, merge_order
from reference.towers.checkpoint import read_weights


@dataclass(frozen=True)
class QwenConfig(ABC):
    """Fields of a vision configuration that the arithmetic needs, under their names in ``config.json``."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    in_channels: int
    patch_size: int
    temporal_patch_size: int
    spatial_merge_size: int
    out_hidden_size: int
    rope_theta: float

    @property
    def patch(self) -> tuple[int, int, int, int]:
        """Colours, frames, height and width of a patch, in pixels."""
        return self.in_channels, self.temporal_patch_size, self.patch_size, self.patch_size

    @property
    def head(self) -> int:
        """Numbers in a head."""
        return self.hidden_size // self.num_heads

    @property
    def block(self) -> int:
        """Patches that are merged into a row."""
        return self.spatial_merge_size**2

    @property
    def side_levels(self) -> int:
        return 0

    def layout(self, placeholder_id: int) -> Layout:
        return Layout(placeholder_id, (math.prod(self.patch),), True, self.spatial_merge_size)

    @abstractmethod
    def linears(self) -> dict[str, tuple[int, int]]: ...

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]: ...

    def rules(self) -> dict[str, bool]:
        """What must hold of the configuration, and whether it does."""
        return {"hidden_size must be a multiple of 4 * num_heads": self.hidden_size % (4 * self.num_heads) == 0}


class QwenTower(PlainTower):
    config: QwenConfig

    @staticmethod
    @abstractmethod
    def config_in(folder: Path) -> QwenConfig:
        """Raises BadCheckpoint."""

    def stored(self, folder: Path) -> tuple[QwenConfig, dict[str, Tensor]]:
        return self.config_in(folder), read_weights(folder, r"(?:model\.)?visual\.(.*)")

    def rotation(self, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Where an item's patches are: cos and sin [P, head / 2], for the row first and then for the column.

        Every frame has the same places: time is told to the language model, not to the tower.
        """
        frames, height, width = grid
        row, column = merge_order(height, width, self.config.spatial_merge_size)
        angles = torch.cat(axial_angles(row, column, self.config.head, self.config.rope_theta), dim=1).to(self.device)
        cos, sin = angles.cos().to(self.wide), angles.sin().to(self.wide)
        return cos.repeat(frames, 1), sin.repeat(frames, 1)

    def mix(self, x: Tensor, cos: Tensor, sin: Tensor, lengths: list[int], name: str) -> Tensor:
        """Attention and the linears around it: [P, hidden] -> [P, hidden]."""
        qkv = self.linear(x, f"{name}.qkv").view(len(x), 3, self.config.num_heads, self.config.head)
        return self.linear(self.attention(qkv, cos, sin, lengths), f"{name}.proj")
