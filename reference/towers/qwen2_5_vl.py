"""The Qwen2.5-VL vision tower, plainly: patches in, rows for the language model out.

    patches --linear--> by window --> [attention, gated MLP] x depth --> merger --> back in order --> rows

As in Qwen3-VL (``qwen3_vl.py``), a *patch* is a block of pixels over two frames, patches come in merge order, and a
*merger* makes one row of each block of 2 x 2. Otherwise:

- **Windows.** In most layers a patch sees only the patches of its window: a square of the frame, cut off where the
  frame ends. In a few layers it sees the whole frame.
- There is no table of positions: only the rotation tells a patch where it is.
- The norm divides by the root mean square and does not centre. The MLP multiplies by a gate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.interface import Encoded, Packed
from reference.towers.arithmetic import by_segment
from reference.towers.checkpoint import build, read_json, require, vision_part
from reference.towers.qwen import QwenConfig, QwenTower

EPS = 1e-6


@dataclass(frozen=True)
class Config(QwenConfig):
    window_size: int
    fullatt_block_indexes: tuple[int, ...]

    @property
    def window(self) -> int:
        """Height and width of a window, in blocks of merge x merge patches."""
        return self.window_size // self.patch_size // self.spatial_merge_size

    def linears(self) -> dict[str, tuple[int, int]]:
        hidden, merged = self.hidden_size, self.hidden_size * self.block
        found = {"patch_embed.proj": (hidden, math.prod(self.patch))}
        for block in (f"blocks.{layer}" for layer in range(self.depth)):
            found[f"{block}.attn.qkv"] = (3 * hidden, hidden)
            found[f"{block}.attn.proj"] = (hidden, hidden)
            found[f"{block}.mlp.gate_proj"] = (self.intermediate_size, hidden)
            found[f"{block}.mlp.up_proj"] = (self.intermediate_size, hidden)
            found[f"{block}.mlp.down_proj"] = (hidden, self.intermediate_size)
        return found | {"merger.mlp.0": (merged, merged), "merger.mlp.2": (self.out_hidden_size, merged)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {"merger.ln_q.weight": (self.hidden_size,)}
        found |= {f"blocks.{layer}.norm{n}.weight": (self.hidden_size,) for layer in range(self.depth) for n in (1, 2)}
        for name, shape in self.linears().items():
            found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        # Stored as the weight of a convolution, and without a bias.
        found["patch_embed.proj.weight"] = (self.hidden_size, *self.patch)
        del found["patch_embed.proj.bias"]
        return found


class Qwen25VLTower(QwenTower):
    """``plumbline.interface.LoadedTower``. NUM-001, NUM-002, NUM-003."""

    name = "qwen2.5-vl"
    config: Config

    @staticmethod
    def config_in(folder: Path) -> Config:
        """Raises BadCheckpoint."""
        # Published configurations leave out the colours, of which there are three, or call them in_chans.
        raw = {"in_channels": 3} | vision_part(read_json(folder))
        config = build(Config, raw)
        require(
            {
                **config.rules(),
                "hidden_act must be silu": raw.get("hidden_act") == "silu",
                "window_size must be at least a block of merged patches": config.window > 0,
                "fullatt_block_indexes must be layers": set(config.fullatt_block_indexes) <= set(range(config.depth)),
            }
        )
        return config

    @torch.no_grad()
    def __call__(self, packed: Packed) -> Encoded:
        """At least one item. rows: [P / merge**2, out_hidden_size]."""
        frames: list[int] = packed.cu_seqlens.diff().tolist()
        grids = [item.grid_thw for item in packed.items if item.grid_thw is not None]
        order, windows = self.by_window(grids)
        cos, sin = (torch.cat(parts) for parts in zip(*map(self.rotation, grids), strict=True))

        x = self.linear(packed.patches.to(self.dtype), "patch_embed.proj")
        # A window lies inside a frame, so frames stay where they are: only the order inside them changes.
        x, cos, sin = (self.blocks(part)[order].flatten(0, 1) for part in (x, cos, sin))
        for layer in range(self.config.depth):
            block = f"blocks.{layer}"
            seen = frames if layer in self.config.fullatt_block_indexes else windows
            x = x + self.mix(self.norm(x, f"{block}.norm1"), cos, sin, seen, f"{block}.attn")
            x = x + self.mlp(self.norm(x, f"{block}.norm2"), frames, f"{block}.mlp")
        rows = self.merge(x, frames)
        return Encoded(rows[order.argsort()])

    def by_window(self, grids: list[tuple[int, int, int]]) -> tuple[Tensor, list[int]]:
        """All blocks of a call, item by item, frame by frame, window by window: int64 [R]. And each window's patches."""
        merge, window = self.config.spatial_merge_size, self.config.window
        orders, lengths, start = [], [], 0
        for frames, height, width in grids:
            high, wide = height // merge, width // merge
            row, column = torch.arange(high)[:, None], torch.arange(wide)
            place = (row // window) * -(-wide // window) + column // window
            order = place.flatten().argsort(stable=True)
            sizes = place.flatten().bincount() * self.config.block
            for frame in range(frames):
                orders.append(start + frame * high * wide + order)
                lengths += sizes.tolist()
            start += frames * high * wide
        return torch.cat(orders), lengths

    def blocks(self, x: Tensor) -> Tensor:
        """[P, n] -> [P / merge**2, merge**2, n], since what a merger reads lies together."""
        return x.reshape(-1, self.config.block, x.shape[-1])

    def mlp(self, x: Tensor, lengths: list[int], name: str) -> Tensor:
        """One linear times the SiLU of another, and a third."""
        gate = by_segment(F.silu, self.linear(x, f"{name}.gate_proj"), lengths)
        return self.linear(gate * self.linear(x, f"{name}.up_proj"), f"{name}.down_proj")

    def merge(self, x: Tensor, lengths: list[int]) -> Tensor:
        """One row out of each merge x merge patches. lengths: of the segments, in patches."""
        x = self.blocks(self.norm(x, "merger.ln_q")).flatten(1)
        lengths = [length // self.config.block for length in lengths]
        return self.linear(by_segment(F.gelu, self.linear(x, "merger.mlp.0"), lengths), "merger.mlp.2")

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Divides each row by its root mean square."""
        wide = x.to(self.wide)
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS)
        return self.weights[f"{name}.weight"] * wide.to(x.dtype)
