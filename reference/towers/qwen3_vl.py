"""The Qwen3-VL vision tower, plainly: patches in, rows for the language model out.

    patches --linear--> + position --> [attention, MLP] x depth --> merger ----------> rows
                                               |
                                         after some layers: a deepstack merger ------> side rows

A *patch* is a small block of pixels over two frames, flattened. The transformer mixes those of a frame. A *merger*
makes one row of each 2 x 2 block. An item's patches come in merge order (frame by frame, block by block, row by row
inside a block), so that what a merger reads lies together. Deepstack mergers do the same with the output of earlier
layers; their rows are added inside deeper layers of the language model.

Qwen3-VL-MoE's tower is the same. That of Qwen3.5 and Qwen3.5-MoE is the same without deepstack.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.interface import Encoded, Packed
from reference.towers.arithmetic import by_segment, merge_order
from reference.towers.checkpoint import build, read_json, require, vision_part
from reference.towers.qwen import QwenConfig, QwenTower

EPS = 1e-6


@dataclass(frozen=True)
class Config(QwenConfig):
    num_position_embeddings: int
    deepstack_visual_indexes: tuple[int, ...]

    @property
    def side(self) -> int:
        """Height and width of the stored table of positions."""
        return math.isqrt(self.num_position_embeddings)

    @property
    def side_levels(self) -> int:
        return len(self.deepstack_visual_indexes)

    def linears(self) -> dict[str, tuple[int, int]]:
        hidden, merged = self.hidden_size, self.hidden_size * self.block
        found = {"patch_embed.proj": (hidden, math.prod(self.patch))}
        for block in (f"blocks.{layer}" for layer in range(self.depth)):
            found[f"{block}.attn.qkv"] = (3 * hidden, hidden)
            found[f"{block}.attn.proj"] = (hidden, hidden)
            found[f"{block}.mlp.linear_fc1"] = (self.intermediate_size, hidden)
            found[f"{block}.mlp.linear_fc2"] = (hidden, self.intermediate_size)
        for merger in self._mergers():
            found[f"{merger}.linear_fc1"] = (merged, merged)
            found[f"{merger}.linear_fc2"] = (self.out_hidden_size, merged)
        return found

    def shapes(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {"pos_embed.weight": (self.num_position_embeddings, self.hidden_size)}
        norms = {f"{merger}.norm": self.hidden_size * self.block for merger in self._mergers()}
        norms |= {f"blocks.{layer}.norm{n}": self.hidden_size for layer in range(self.depth) for n in (1, 2)}
        norms["merger.norm"] = self.hidden_size
        for name, size in norms.items():
            found |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
        for name, shape in self.linears().items():
            found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        # Stored as the weight of a convolution whose stride is its size: a linear over flattened patches.
        found["patch_embed.proj.weight"] = (self.hidden_size, *self.patch)
        return found

    def _mergers(self) -> list[str]:
        return ["merger", *(f"deepstack_merger_list.{level}" for level in range(self.side_levels))]


class Qwen3VLTower(QwenTower):
    """``plumbline.interface.LoadedTower``. NUM-001, NUM-002, NUM-003."""

    name = "qwen3-vl"
    config: Config

    @staticmethod
    def config_in(folder: Path) -> Config:
        """Raises BadCheckpoint."""
        raw = {"deepstack_visual_indexes": []} | vision_part(read_json(folder))
        config = build(Config, raw)
        require(
            {
                **config.rules(),
                "hidden_act must be gelu_pytorch_tanh": raw.get("hidden_act") == "gelu_pytorch_tanh",
                "num_position_embeddings must be a square": config.side**2 == config.num_position_embeddings,
                "deepstack_visual_indexes must be layers, ascending": list(config.deepstack_visual_indexes)
                == sorted(set(config.deepstack_visual_indexes) & set(range(config.depth))),
            }
        )
        return config

    @torch.no_grad()
    def __call__(self, packed: Packed) -> Encoded:
        """At least one item. rows and each of side: [P / merge**2, out_hidden_size]."""
        lengths: list[int] = packed.cu_seqlens.diff().tolist()
        grids = [item.grid_thw for item in packed.items if item.grid_thw is not None]
        cos, sin = (torch.cat(parts) for parts in zip(*map(self.rotation, grids), strict=True))

        x = self.linear(packed.patches.to(self.dtype), "patch_embed.proj") + torch.cat([*map(self.learned, grids)])
        side = []
        for layer in range(self.config.depth):
            block = f"blocks.{layer}"
            x = x + self.mix(self.norm(x, f"{block}.norm1"), cos, sin, lengths, f"{block}.attn")
            x = x + self.mlp(self.norm(x, f"{block}.norm2"), lengths, f"{block}.mlp", "tanh")
            if layer in self.config.deepstack_visual_indexes:
                level = self.config.deepstack_visual_indexes.index(layer)
                side.append(self.merge(x, lengths, f"deepstack_merger_list.{level}", norm_after=True))
        return Encoded(self.merge(x, lengths, "merger", norm_after=False), tuple(side))

    def learned(self, grid: tuple[int, int, int]) -> Tensor:
        """The stored side x side table, stretched over the frame corner to corner: bilinear, [P, hidden].

        Every frame has the same, as in ``rotation``.
        """
        frames, height, width = grid
        row, column = merge_order(height, width, self.config.spatial_merge_size)
        (top, bottom, down), (left, right, across) = self.between(row, height), self.between(column, width)
        table = self.weights["pos_embed.weight"].to(self.wide).view(self.config.side, self.config.side, -1)
        corners = (
            (top, left, (1 - down) * (1 - across)),
            (top, right, (1 - down) * across),
            (bottom, left, down * (1 - across)),
            (bottom, right, down * across),
        )
        found = torch.stack([table[y, x] * share.to(table)[:, None] for y, x, share in corners]).sum(0)
        return found.to(self.dtype).repeat(frames, 1)

    def between(self, index: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """The two stored places on either side of ``index`` of ``size``, and the share of the second."""
        at = index.double() * (self.config.side - 1) / max(size - 1, 1)
        low = at.long()
        return low, (low + 1).clamp(max=self.config.side - 1), at - low

    def mlp(self, x: Tensor, lengths: list[int], name: str, approximate: str) -> Tensor:
        """Two linears with a GELU between them. lengths: of the segments, in rows of ``x``."""
        x = self.linear(x, f"{name}.linear_fc1")
        x = by_segment(lambda part: F.gelu(part, approximate=approximate), x, lengths)
        return self.linear(x, f"{name}.linear_fc2")

    def merge(self, x: Tensor, lengths: list[int], name: str, norm_after: bool) -> Tensor:
        """One row out of each merge x merge patches. norm_after: normalises four joined patches, not each patch."""
        block = self.config.block
        x = x if norm_after else self.norm(x, f"{name}.norm")
        x = x.reshape(len(x) // block, -1)
        x = self.norm(x, f"{name}.norm") if norm_after else x
        return self.mlp(x, [length // block for length in lengths], name, "none")

    def norm(self, x: Tensor, name: str) -> Tensor:
        return self.layer_norm(x, name, EPS)
