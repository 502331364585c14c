"""What the configurations of Qwen2.5-VL and Qwen3-VL have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from optimized.towers.trunk import Turns


@dataclass(frozen=True)
class QwenConfig:
    """Fields of a vision configuration, under their names there."""

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
        """Channels, frames, height and width of a patch."""
        return self.in_channels, self.temporal_patch_size, self.patch_size, self.patch_size

    @property
    def block(self) -> int:
        """Patches of a row."""
        return self.spatial_merge_size**2

    def told(self) -> dict[str, Any]:
        """What ``FastTower`` is told of it in either family."""
        return {
            "hidden_size": self.out_hidden_size,
            "layout": {"patch_shape": (math.prod(self.patch),), "merge": self.spatial_merge_size},
            "turns": Turns.of(self.hidden_size // self.num_heads, self.rope_theta),
        }

    def rules(self) -> dict[str, bool]:
        """What must hold, and whether it does."""
        return {"hidden_size must be a multiple of 4 * num_heads": self.hidden_size % (4 * self.num_heads) == 0}
