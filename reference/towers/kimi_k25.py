"""The Kimi-K2.5 vision tower (MoonViT) and its projector, plainly: patches in, rows for the language model out.

    patches --linear--> + place, + time --> [attention, MLP] x depth --> norm --> mean over frames --> projector --> rows

A *patch* is a small block of pixels of one frame. Patches come row by row, frame by frame. All frames of a clip mix: each
patch sees every patch of its clip. In the end the frames are averaged, so that a clip of any length has the rows of one
frame; each row is made of a block of 2 x 2. An image is a clip of one frame, and gets no time.

Names are those of transformers (``layers.0.attn.q_proj``, ``mm_projector.in_proj``); see ``kimi_published.py`` for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.interface import BadGrid, Encoded, Layout, Packed
from reference.towers.arithmetic import PlainTower, axial_angles, by_segment, merge_order
from reference.towers.checkpoint import build, read_json, read_weights, require, vision_part
from reference.towers.kimi_published import renamed_fields, renamed_weights

EPS = 1e-5
CHANNELS = 3
TIME_BASE = 10_000.0
SHARPNESS = -0.75
"""Of the bicubic curve: its slope one place away from the middle."""


@dataclass(frozen=True)
class Config:
    """The fields of a configuration that the arithmetic needs, under their names in ``config.json``.

    out_hidden_size: the language model's, as the projector's weights have it.
    """

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    patch_size: int
    merge_kernel_size: tuple[int, int]
    pos_emb_height: int
    pos_emb_width: int
    pos_emb_time: int
    projection_layer_norm_eps: float
    rope_theta: float
    out_hidden_size: int

    @property
    def side_levels(self) -> int:
        return 0

    @property
    def merge(self) -> int:
        return self.merge_kernel_size[0]

    def layout(self, placeholder_id: int) -> Layout:
        patch_shape = (CHANNELS, self.patch_size, self.patch_size)
        return Layout(placeholder_id, patch_shape, True, self.merge, pools_frames=True)

    def linears(self) -> dict[str, tuple[int, int]]:
        hidden, merged = self.hidden_size, self.hidden_size * self.merge**2
        found = {"vision_tower.patch_embed.proj": (hidden, CHANNELS * self.patch_size**2)}
        for layer in (f"vision_tower.layers.{layer}" for layer in range(self.num_hidden_layers)):
            found |= {f"{layer}.attn.{part}": (hidden, hidden) for part in ("q_proj", "k_proj", "v_proj", "proj")}
            found[f"{layer}.mlp.fc1"] = (self.intermediate_size, hidden)
            found[f"{layer}.mlp.fc2"] = (hidden, self.intermediate_size)
        found["mm_projector.in_proj"] = (merged, merged)
        found["mm_projector.out_proj"] = (self.out_hidden_size, merged)
        return found

    def shapes(self) -> dict[str, tuple[int, ...]]:
        hidden = self.hidden_size
        table = "vision_tower.patch_embed.pos_emb.position_embeddings"
        found: dict[str, tuple[int, ...]] = {table: (self.pos_emb_height, self.pos_emb_width, hidden)}
        norms = [f"vision_tower.layers.{layer}.norm{n}" for layer in range(self.num_hidden_layers) for n in (1, 2)]
        for name in (*norms, "vision_tower.final_layernorm", "mm_projector.pre_norm"):
            found |= {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
        for name, shape in self.linears().items():
            found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        # Stored as the weight of a convolution.
        found["vision_tower.patch_embed.proj.weight"] = (hidden, CHANNELS, self.patch_size, self.patch_size)
        return found


def read_config(folder: Path, out_hidden_size: int) -> Config:
    """Raises BadCheckpoint."""
    whole = read_json(folder)
    raw = {"projection_layer_norm_eps": whole.get("projection_layer_norm_eps", EPS)} | renamed_fields(
        vision_part(whole)
    )
    config = build(Config, raw | {"out_hidden_size": out_hidden_size})
    size = whole.get("projection_hidden_size", config.hidden_size)
    require(
        {
            "hidden_act must be gelu_pytorch_tanh": raw["hidden_act"] == "gelu_pytorch_tanh",
            "hidden_size must be a multiple of 4 * num_attention_heads": (
                config.hidden_size % (4 * config.num_attention_heads) == 0
            ),
            "merge_kernel_size must be a square": (
                len(config.merge_kernel_size) == 2 and config.merge_kernel_size[0] == config.merge_kernel_size[1] > 0
            ),
            "projection_hidden_size must be hidden_size": size == config.hidden_size,
        }
    )
    return config


class KimiK25Tower(PlainTower):
    """``plumbline.interface.LoadedTower``. NUM-001, NUM-002, NUM-003."""

    name = "kimi-k2.5"
    config: Config

    def stored(self, folder: Path) -> tuple[Config, dict[str, Tensor]]:
        weights = read_weights(folder, r"(?:model\.)?((?:vision_tower|mm_projector)\..*)")
        last = weights.get("mm_projector.out_proj.bias", weights.get("mm_projector.proj.2.bias"))
        # Where there is none, any size: that it is missing is found when all weights are looked at.
        config = read_config(folder, 1 if last is None else len(last))
        return config, renamed_weights(weights, config.num_attention_heads)

    @torch.no_grad()
    def __call__(self, packed: Packed) -> Encoded:
        """At least one item. rows: [R, out_hidden_size], height * width / merge**2 for each item.

        Raises BadGrid: a clip has more frames than there are times, ``pos_emb_time``.
        """
        grids = [item.grid_thw for item in packed.items if item.grid_thw is not None]
        lengths: list[int] = packed.cu_seqlens.diff().tolist()
        learned, cos, sin = (torch.cat(parts) for parts in zip(*map(self.places, grids), strict=True))

        x = self.linear(packed.patches.flatten(1).to(self.dtype), "vision_tower.patch_embed.proj") + learned
        for layer in (f"vision_tower.layers.{layer}" for layer in range(self.config.num_hidden_layers)):
            x = x + self.mix(self.layer_norm(x, f"{layer}.norm1", EPS), cos, sin, lengths, f"{layer}.attn")
            x = x + self.mlp(self.layer_norm(x, f"{layer}.norm2", EPS), lengths, f"{layer}.mlp")
        x = self.layer_norm(x, "vision_tower.final_layernorm", EPS)
        clips = torch.split(x, [frames * height * width for frames, height, width in grids])
        pooled = torch.cat([self.pool(clip, grid) for clip, grid in zip(clips, grids, strict=True)])
        return Encoded(self.project(pooled, grids))

    def places(self, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Where an item's patches are: learned and time [P, hidden], and cos and sin [P, head / 2] for the rotation."""
        frames, height, width = grid
        row, column = merge_order(height, width, 1)
        learned = self.learned(height, width).repeat(frames, 1)
        if frames > 1:
            learned = learned + self.times(frames).repeat_interleave(height * width, dim=0)
        head = self.config.hidden_size // self.config.num_attention_heads
        down, across = axial_angles(row, column, head, self.config.rope_theta)
        # Column and row take turns: pairs 0, 2, 4 ... of a head turn by the column, pairs 1, 3, 5 ... by the row.
        angles = torch.stack([across, down], dim=-1).flatten(1).to(self.device)
        cos, sin = angles.cos().to(self.wide), angles.sin().to(self.wide)
        return learned.to(self.dtype), cos.repeat(frames, 1), sin.repeat(frames, 1)

    def learned(self, height: int, width: int) -> Tensor:
        """The stored table, stretched over the grid by a bicubic curve: [height * width, hidden].

        Stretched edge to edge: a patch is an area, and its middle is looked up.
        """
        table = self.weights["vision_tower.patch_embed.pos_emb.position_embeddings"].to(self.wide)
        down = shares(height, len(table)).to(table)
        across = shares(width, table.shape[1]).to(table)
        return torch.einsum("hy,wx,yxc->hwc", down, across, table).flatten(0, 1)

    def times(self, frames: int) -> Tensor:
        """What tells the frames of a clip apart: a sine and a cosine of the frame's number for each of many periods.

        float32 constants that the weights were trained with, so they are float32 in wider towers, too. [frames, hidden]
        """
        if frames > self.config.pos_emb_time:
            raise BadGrid(f"{frames} frames, at most {self.config.pos_emb_time}", hint="cut the video into clips")
        hidden = self.config.hidden_size
        rates = 1.0 / TIME_BASE ** (torch.arange(0, hidden, 2, dtype=torch.float32) / hidden)
        angles = torch.arange(frames, dtype=torch.float32)[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], dim=1).to(self.device, self.wide)

    def mix(self, x: Tensor, cos: Tensor, sin: Tensor, lengths: list[int], name: str) -> Tensor:
        """Attention and the linears around it: [P, hidden] -> [P, hidden]."""
        qkv = torch.stack([self.linear(x, f"{name}.{part}") for part in ("q_proj", "k_proj", "v_proj")], dim=1)
        qkv = qkv.view(len(x), 3, self.config.num_attention_heads, -1)
        return self.linear(self.attention(qkv, cos, sin, lengths), f"{name}.proj")

    def mlp(self, x: Tensor, lengths: list[int], name: str) -> Tensor:
        """Two linears with a GELU between them."""
        x = self.linear(x, f"{name}.fc1")
        x = by_segment(lambda part: F.gelu(part, approximate="tanh"), x, lengths)
        return self.linear(x, f"{name}.fc2")

    def pool(self, clip: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """The mean over frames, in merge order: [P, hidden] -> [height * width, hidden]."""
        frames, height, width = grid
        row, column = merge_order(height, width, self.config.merge)
        return clip.view(frames, height, width, -1).mean(0)[row, column]

    def project(self, x: Tensor, grids: list[tuple[int, int, int]]) -> Tensor:
        """One row out of each merge x merge patches."""
        block = self.config.merge**2
        x = self.layer_norm(x, "mm_projector.pre_norm", self.config.projection_layer_norm_eps)
        x = self.linear(x.reshape(len(x) // block, -1), "mm_projector.in_proj")
        x = by_segment(F.gelu, x, [height * width // block for _, height, width in grids])
        return self.linear(x, "mm_projector.out_proj")


def shares(size: int, stored: int) -> Tensor:
    """How much each of ``stored`` places in a line has in each of ``size``: float64 [size, stored], each row adds up to 1.

    Beyond either end the last place is repeated.
    """
    middle = (torch.arange(size, dtype=torch.float64) + 0.5) * stored / size - 0.5
    found = torch.zeros(size, stored, dtype=torch.float64)
    for step in (-1, 0, 1, 2):
        place = middle.floor() + step
        share = bicubic((middle - place).abs())
        found.scatter_add_(1, place.clamp(0, stored - 1).long()[:, None], share[:, None])
    return found


def bicubic(distance: Tensor) -> Tensor:
    """Keys' curve: 1 at distance 0, 0 at 1 and from 2 on."""
    a, d = SHARPNESS, distance
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return torch.where(d <= 1, near, far)
