"""Kimi-K2.5's tower (MoonViT) and projector: a clip is one segment, and its frames are pooled into rows of one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from optimized.towers import grids
from optimized.towers.checkpoint import Stored, built, fields_of, files_of, object_in, require, vision_part
from optimized.towers.kept_grids import KeptGrids
from optimized.towers.kimi_published import from_published, is_published, published_shapes, renamed_fields
from optimized.towers.plan import Fields, Grid, Records, Shape, joined, no_windows
from optimized.towers.tower import GeluTower
from optimized.towers.trunk import Stream, Turns, merged, normed, through
from optimized.towers.weights import Block, Linear, Merger, Norm, Read, layer_norm, linear, parameters
from plumbline.interface import BadGrid, Checkpoint, DevicePort

EPS = 1e-5
CHANNELS = 3
TIME_THETA = 10_000.0


class Config(NamedTuple):
    """Fields of a configuration, under their names there. outputs: the language model's hidden size."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    patch_size: int
    merge_kernel_size: list[int]
    pos_emb_height: int
    pos_emb_width: int
    pos_emb_time: int
    rope_theta: float
    projection_layer_norm_eps: float
    outputs: int

    @property
    def merge(self) -> int:
        return self.merge_kernel_size[0]

    @property
    def head(self) -> int:
        return self.hidden_size // self.num_attention_heads


class Weights(NamedTuple):
    embed: Linear
    table: Tensor
    blocks: tuple[Block, ...]
    norm: Norm
    projector: Merger


class KimiK25Tower(GeluTower[Config, Weights]):
    """``plumbline.interface.LoadedTower``."""

    roots = ("vision_tower.", "mm_projector.")

    def __init__(self, checkpoint: Checkpoint, port: DevicePort, raw: Mapping[str, Any]) -> None:
        """raw: the configuration of the whole model. Raises BadCheckpoint."""
        config = self.config_of(raw)
        super().__init__(
            checkpoint,
            port,
            config,
            name="kimi-k2.5",
            hidden_size=config.outputs,
            side_levels=0,
            layout={
                "patch_shape": (CHANNELS, config.patch_size, config.patch_size),
                "merge": config.merge,
                "pools_frames": True,
            },
            turns=Turns.of(config.head, config.rope_theta),
            records=Records(
                grid=KeptGrids(partial(grid, config)),
                patch_fields=19,
                row_fields=3 * config.merge**2,
                row_shifts=dict.fromkeys(range(0, 3 * config.merge**2, 3), 1),
            ),
        )
        self.times = port.move(times(config.pos_emb_time, config.hidden_size))

    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> Config:
        (outputs,) = fields_of(object_in(raw, "text_config", {}), ("hidden_size",))
        eps = raw.get("projection_layer_norm_eps", EPS)
        vision = {"projection_layer_norm_eps": eps, **renamed_fields(vision_part(raw)), "outputs": outputs}
        config = built(Config, vision)
        size = raw.get("projection_hidden_size", config.hidden_size)
        heads = config.num_attention_heads
        require(
            {
                "hidden_act must be gelu_pytorch_tanh": vision.get("hidden_act") == "gelu_pytorch_tanh",
                "hidden_size must be a multiple of 4 * num_attention_heads": config.hidden_size % (4 * heads) == 0,
                "merge_kernel_size must be a square": len(config.merge_kernel_size) == 2
                and config.merge_kernel_size[0] == config.merge_kernel_size[1] > 0,
                "projection_hidden_size must be hidden_size": size == config.hidden_size,
            }
        )
        return config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        config = self.config
        hidden, inner, joint = config.hidden_size, config.intermediate_size, config.hidden_size * config.merge**2
        linears: dict[str, tuple[int, ...]] = {
            "vision_tower.patch_embed.proj": (hidden, CHANNELS, config.patch_size, config.patch_size),
            "mm_projector.in_proj": (joint, joint),
            "mm_projector.out_proj": (self.config.outputs, joint),
        }
        norms: dict[str, tuple[int, ...]] = {
            "vision_tower.final_layernorm": (hidden,),
            "mm_projector.pre_norm": (hidden,),
        }
        for at in (f"vision_tower.layers.{layer}" for layer in range(config.num_hidden_layers)):
            linears |= {f"{at}.attn.{name}": (hidden, hidden) for name in ("q_proj", "k_proj", "v_proj", "proj")}
            linears |= {f"{at}.mlp.fc1": (inner, hidden), f"{at}.mlp.fc2": (hidden, inner)}
            norms |= {f"{at}.norm1": (hidden,), f"{at}.norm2": (hidden,)}
        table = {TABLE: (config.pos_emb_height, config.pos_emb_width, hidden)}
        return table | parameters(linears) | parameters(norms)

    def stored(self, folder: Path) -> Read:
        if not any(map(is_published, files_of(folder))):
            return super().stored(folder)
        read = Stored(folder, published_shapes(self.shapes()), self.roots)
        return from_published(read, self.config.num_attention_heads)

    def weights_of(self, read: Read) -> Weights:
        return Weights(
            linear(read, "vision_tower.patch_embed.proj"),
            read(TABLE),
            tuple(self.block(read, f"vision_tower.layers.{at}") for at in range(self.config.num_hidden_layers)),
            layer_norm(read, "vision_tower.final_layernorm", EPS),
            Merger(
                layer_norm(read, "mm_projector.pre_norm", self.config.projection_layer_norm_eps),
                linear(read, "mm_projector.in_proj"),
                linear(read, "mm_projector.out_proj"),
            ),
        )

    def block(self, read: Read, at: str) -> Block:
        q, k, v = (linear(read, f"{at}.attn.{name}_proj") for name in "qkv")
        parts = [self.rows_first(q), self.rows_first(k), v]
        return Block(
            layer_norm(read, f"{at}.norm1", EPS),
            Linear(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])),
            linear(read, f"{at}.attn.proj"),
            layer_norm(read, f"{at}.norm2", EPS),
            linear(read, f"{at}.mlp.fc1"),
            linear(read, f"{at}.mlp.fc2"),
        )

    def rows_first(self, part: Linear) -> Linear:
        """Queries or keys in another order, the same in both. Stored are pairs that turn by column and by row in turns; here
        come those that turn by the row, then those by the column, as in the other families."""
        half = self.config.head // 2
        pairs = torch.cat([torch.arange(1, half, 2), torch.arange(0, half, 2)])
        heads = torch.arange(self.config.num_attention_heads)[:, None] * self.config.head
        order = (heads + torch.cat([pairs, pairs + half])).flatten()
        return Linear(part.weight[order], part.bias[order])

    def forward(self, patches: Tensor, fields: Fields, shape: Shape) -> tuple[Tensor, ...]:
        weights, config = self.weights, self.config
        x = self.kernels.linear(patches, weights.embed)
        self.kernels.add_positions(x, fields.patches, weights.table, self.times)
        stream = Stream(x, self.kernels)
        for block in weights.blocks:
            through(block, stream, self.mlp, self.turns, config.num_attention_heads, fields.patches, fields.tiles)
        pooled = self.kernels.pool(stream.normed(weights.norm), fields.rows.view(-1, 3), config.pos_emb_time)
        joint = normed(pooled, None, weights.projector.norm, 0, self.kernels).view(shape.rows, -1)
        return (merged(joint, weights.projector, self.kernels),)


TABLE = "vision_tower.patch_embed.pos_emb.position_embeddings"


def times(frames: int, width: int) -> Tensor:
    """What is added to the patches of each frame of a clip, after a row of zeros for those of an image: float32 [1 + frames,
    width], as in training, whatever the tower's dtype."""
    speeds = 1.0 / TIME_THETA ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.arange(frames, dtype=torch.float32)[:, None] * speeds
    return torch.cat([torch.zeros(1, width), torch.cat([angles.sin(), angles.cos()], dim=1)])


def grid(config: Config, frames: int, height: int, width: int) -> Grid:
    """Patches row by row; a row's record is the cells that it is made of. Raises BadGrid: more frames than there are times."""
    if frames > config.pos_emb_time:
        raise BadGrid(f"{frames} frames, at most {config.pos_emb_time}", hint="cut the video into clips")
    row, column = grids.raster(height, width)
    down, share_down = grids.cubic(grids.edge_to_edge(height, config.pos_emb_height), config.pos_emb_height)
    across, share_across = grids.cubic(grids.edge_to_edge(width, config.pos_emb_width), config.pos_emb_width)
    frame = joined([row, column, down[row], across[column], share_down[row], share_across[column]])
    number = np.repeat(np.arange(frames) + (frames > 1), height * width)
    cells = grids.blocks(height, width, config.merge)
    step, count = np.full_like(cells, height * width), np.full_like(cells, frames)
    return Grid(
        joined([np.tile(frame, (frames, 1)), number]),
        np.stack([cells, step, count], axis=1).reshape(-1, 3 * config.merge**2).astype(np.int32),
        no_windows(),
    )
