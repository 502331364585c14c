"""Qwen3-VL's tower: full attention within a frame, interpolated positions, and mergers after some layers (deepstack).

Qwen3-VL-MoE has the same; Qwen3.5 the same without deepstack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from optimized.towers import grids
from optimized.towers.checkpoint import built, require, vision_part
from optimized.towers.kept_grids import KeptGrids
from optimized.towers.plan import Fields, Grid, Records, Shape, joined, no_windows
from optimized.towers.qwen import QwenConfig
from optimized.towers.tower import GeluTower
from optimized.towers.trunk import Stream, merged, normed, through
from optimized.towers.weights import Block, Linear, Merger, Norm, Read, layer_norm, linear, parameters
from plumbline.interface import Checkpoint, DevicePort

EPS = 1e-6


@dataclass(frozen=True)
class Config(QwenConfig):
    num_position_embeddings: int
    deepstack_visual_indexes: tuple[int, ...]

    @property
    def side(self) -> int:
        return math.isqrt(self.num_position_embeddings)


class Weights(NamedTuple):
    embed: Linear
    table: Tensor
    blocks: tuple[Block, ...]
    merger: Merger
    deepstack: tuple[Merger, ...]


class Qwen3VLTower(GeluTower[Config, Weights]):
    """``plumbline.interface.LoadedTower``."""

    def __init__(self, checkpoint: Checkpoint, port: DevicePort, raw: Mapping[str, Any]) -> None:
        """raw: the configuration. Raises BadCheckpoint."""
        config = self.config_of(raw)
        super().__init__(
            checkpoint,
            port,
            config,
            name="qwen3-vl",
            side_levels=len(config.deepstack_visual_indexes),
            **config.told(),
            records=Records(
                grid=KeptGrids(partial(grid, config.spatial_merge_size, config.side)),
                patch_fields=10,
                row_fields=0,
            ),
        )

    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> Config:
        vision = vision_part(raw, deepstack_visual_indexes=())
        config = built(Config, vision)
        config = replace(config, deepstack_visual_indexes=tuple(config.deepstack_visual_indexes))
        require(
            config.rules()
            | {
                "hidden_act must be gelu_pytorch_tanh": vision.get("hidden_act") == "gelu_pytorch_tanh",
                "num_position_embeddings must be a square": config.side**2 == config.num_position_embeddings,
                "deepstack_visual_indexes must be layers, ascending": list(config.deepstack_visual_indexes)
                == sorted(set(config.deepstack_visual_indexes) & set(range(config.depth))),
            }
        )
        return config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        config = self.config
        hidden, inner, joint = config.hidden_size, config.intermediate_size, config.hidden_size * config.block
        linears: dict[str, tuple[int, ...]] = {"patch_embed.proj": (hidden, *config.patch)}
        norms: dict[str, tuple[int, ...]] = {}
        for at in (f"blocks.{layer}" for layer in range(config.depth)):
            linears |= {f"{at}.attn.qkv": (3 * hidden, hidden), f"{at}.attn.proj": (hidden, hidden)}
            linears |= {f"{at}.mlp.linear_fc1": (inner, hidden), f"{at}.mlp.linear_fc2": (hidden, inner)}
            norms |= {f"{at}.norm1": (hidden,), f"{at}.norm2": (hidden,)}
        for at in (
            "merger",
            *(f"deepstack_merger_list.{level}" for level in range(len(self.config.deepstack_visual_indexes))),
        ):
            linears |= {f"{at}.linear_fc1": (joint, joint), f"{at}.linear_fc2": (config.out_hidden_size, joint)}
            norms[f"{at}.norm"] = (hidden if at == "merger" else joint,)
        table = {"pos_embed.weight": (config.num_position_embeddings, hidden)}
        return table | parameters(linears) | parameters(norms)

    def weights_of(self, read: Read) -> Weights:
        def merger(name: str) -> Merger:
            return Merger(norm(f"{name}.norm"), linear(read, f"{name}.linear_fc1"), linear(read, f"{name}.linear_fc2"))

        def norm(name: str) -> Norm:
            return layer_norm(read, name, EPS)

        return Weights(
            linear(read, "patch_embed.proj"),
            read("pos_embed.weight").view(self.config.side, self.config.side, -1),
            tuple(
                Block(
                    norm(f"{at}.norm1"),
                    linear(read, f"{at}.attn.qkv"),
                    linear(read, f"{at}.attn.proj"),
                    norm(f"{at}.norm2"),
                    linear(read, f"{at}.mlp.linear_fc1"),
                    linear(read, f"{at}.mlp.linear_fc2"),
                )
                for at in (f"blocks.{layer}" for layer in range(self.config.depth))
            ),
            merger("merger"),
            tuple(
                merger(f"deepstack_merger_list.{level}") for level in range(len(self.config.deepstack_visual_indexes))
            ),
        )

    def forward(self, patches: Tensor, fields: Fields, shape: Shape) -> tuple[Tensor, ...]:
        weights = self.weights
        x = self.kernels.linear(patches, weights.embed)
        self.kernels.add_positions(x, fields.patches, weights.table, None)
        stream = Stream(x, self.kernels)
        joint, side = self.config.block * x.shape[1], {}
        levels = self.config.deepstack_visual_indexes
        for layer, block in enumerate(weights.blocks):
            through(block, stream, self.mlp, self.turns, self.config.num_heads, fields.patches, fields.tiles)
            if layer in levels:
                level = levels.index(layer)
                merger = weights.deepstack[level]
                four = normed(stream.settled().view(-1, joint), None, merger.norm, shape.rows, self.kernels)
                side[level] = merged(four[: shape.rows], merger, self.kernels)
        four = stream.normed(weights.merger.norm, shape.rows * self.config.block).view(-1, joint)
        rows = merged(four[: shape.rows], weights.merger, self.kernels)
        return rows, *(side[level] for level in range(len(levels)))


def grid(merge: int, side: int, frames: int, height: int, width: int) -> Grid:
    """Patches in merge order, the same places in each frame."""
    row, column = (places[grids.blocks(height, width, merge)] for places in grids.raster(height, width))
    down, share_down = grids.linear(grids.corner_to_corner(height, side), side)
    across, share_across = grids.linear(grids.corner_to_corner(width, side), side)
    frame = joined([row, column, down[row], across[column], share_down[row], share_across[column]])
    rows = frames * height * width // merge**2
    return Grid(np.tile(frame, (frames, 1)), np.zeros((rows, 0), dtype=np.int32), no_windows())
