"""Qwen2.5-VL's tower: most layers look at windows of a frame only, so patches are kept in the order of windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from optimized.towers import grids
from optimized.towers.checkpoint import fields_of, require, vision_part
from optimized.towers.plan import Fields, Grid, Records, Shape, joined
from optimized.towers.qwen import QwenConfig
from optimized.towers.tower import FastTower
from optimized.towers.trunk import Stream, merged, through
from optimized.towers.weights import Block, Linear, Merger, Norm, Read, linear, parameters
from plumbline.interface import Checkpoint, DevicePort

EPS = 1e-6
WHOLE = 8
"""Numbers that a matrix unit reads at once. Rows of an odd length would be read one number at a time."""


@dataclass(frozen=True)
class Config(QwenConfig):
    window_size: int
    fullatt_block_indexes: list[int]

    @property
    def window(self) -> int:
        """The side of a window, in rows of the language model."""
        return self.window_size // self.spatial_merge_size // self.patch_size


class Weights(NamedTuple):
    embed: Linear
    blocks: tuple[Block, ...]
    merger: Merger


class Qwen25VLTower(FastTower[Config, Weights]):
    """``plumbline.interface.LoadedTower``."""

    def __init__(self, checkpoint: Checkpoint, port: DevicePort, raw: Mapping[str, Any]) -> None:
        """raw: the configuration. Raises BadCheckpoint."""
        config = self.config_of(raw)
        super().__init__(
            checkpoint,
            port,
            config,
            name="qwen2.5-vl",
            side_levels=0,
            **config.told(),
            records=Records(
                grid=lru_cache(1024)(partial(grid, config.spatial_merge_size, config.window)),
                patch_fields=3,
                row_fields=1,
                patch_shifts={2: 1},
                row_shifts={0: config.block},
                windowed=True,
            ),
        )

    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> Config:
        # Published configurations leave out the channels, or name them otherwise: there are always three.
        vision = vision_part(raw, in_channels=3)
        config = Config(*fields_of(vision, Config.__dataclass_fields__))
        require(
            config.rules()
            | {
                "hidden_act must be silu": vision.get("hidden_act") == "silu",
                "window_size must hold a row of the language model": config.window > 0,
                "fullatt_block_indexes must be layers": set(config.fullatt_block_indexes) <= set(range(config.depth)),
            }
        )
        return config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        config = self.config
        hidden, inner = config.hidden_size, config.intermediate_size
        joint = hidden * config.block
        linears = {"merger.mlp.0": (joint, joint), "merger.mlp.2": (config.out_hidden_size, joint)}
        scales = ["merger.ln_q"]
        for at in (f"blocks.{layer}" for layer in range(config.depth)):
            linears |= {f"{at}.attn.qkv": (3 * hidden, hidden), f"{at}.attn.proj": (hidden, hidden)}
            linears |= {f"{at}.mlp.gate_proj": (inner, hidden), f"{at}.mlp.up_proj": (inner, hidden)}
            linears |= {f"{at}.mlp.down_proj": (hidden, inner)}
            scales += [f"{at}.norm1", f"{at}.norm2"]
        embed = {"patch_embed.proj.weight": (hidden, *config.patch)}
        return embed | parameters(linears) | {f"{name}.weight": (hidden,) for name in scales}

    def weights_of(self, read: Read) -> Weights:
        embed = read("patch_embed.proj.weight").flatten(1)
        return Weights(
            Linear(embed, embed.new_zeros(len(embed))),
            tuple(self.block(read, f"blocks.{layer}") for layer in range(self.config.depth)),
            Merger(scale(read, "merger.ln_q"), linear(read, "merger.mlp.0"), linear(read, "merger.mlp.2")),
        )

    def block(self, read: Read, at: str) -> Block:
        """Gate and what it opens are one linear. Both are made longer by zeros, which stay zeros on their way through."""
        rest = -self.config.intermediate_size % WHOLE
        gate, up, down = (linear(read, f"{at}.mlp.{name}_proj") for name in ("gate", "up", "down"))
        weights = [F.pad(part.weight, (0, 0, 0, rest)) for part in (gate, up)]
        biases = [F.pad(part.bias, (0, rest)) for part in (gate, up)]
        return Block(
            scale(read, f"{at}.norm1"),
            linear(read, f"{at}.attn.qkv"),
            linear(read, f"{at}.attn.proj"),
            scale(read, f"{at}.norm2"),
            Linear(torch.cat(weights), torch.cat(biases)),
            Linear(F.pad(down.weight, (0, rest)), down.bias),
        )

    def forward(self, patches: Tensor, fields: Fields, shape: Shape) -> tuple[Tensor, ...]:
        weights, config = self.weights, self.config
        x = F.linear(patches, *weights.embed).index_select(0, fields.patches[:, 2])
        stream = Stream(x, self.kernels)
        for layer, block in enumerate(weights.blocks):
            seen = fields.tiles if layer in config.fullatt_block_indexes else fields.windows
            through(block, stream, self.mlp, self.turns, config.num_heads, fields.patches, seen)
        count = config.block
        joint = stream.normed(weights.merger.norm, shape.rows * count).view(-1, count * x.shape[1])
        rows = merged(joint[: shape.rows], weights.merger, self.kernels)
        return (rows.index_select(0, fields.rows[:, 0]),)

    def mlp(self, x: Tensor, block: Block) -> Tensor:
        return F.linear(self.kernels.gated(F.linear(x, *block.up)), *block.down)


def scale(read: Read, name: str) -> Norm:
    return Norm(read(f"{name}.weight"), None, EPS)


def grid(merge: int, window: int, frames: int, height: int, width: int) -> Grid:
    """Window by window. A patch's record ends with its place in the payload, a row's is its place among the windows'."""
    high, wide, count = height // merge, width // merge, merge**2
    order = grids.blocks(high, wide, window)
    source = (order[:, None] * count + np.arange(count)).reshape(-1)
    row, column = (places[grids.blocks(height, width, merge)][source] for places in grids.raster(height, width))
    down, across = (places // window for places in grids.raster(high, wide))
    sizes = np.bincount(down * -(-wide // window) + across) * count
    starts = np.arange(frames)
    return Grid(
        joined(
            [
                np.tile(row, frames),
                np.tile(column, frames),
                (starts[:, None] * (height * width) + source).reshape(-1),
            ]
        ),
        joined([(starts[:, None] * (high * wide) + np.argsort(order)).reshape(-1)]),
        np.tile(sizes, frames).astype(np.int32),
    )
