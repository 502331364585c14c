"""The Qwen3-VL vision tower, plainly: patches in, rows for the language model out.

    patches --linear--> + position --> [attention, MLP] x depth --> merger ----------> rows
                                               |
                                         after some layers: a deepstack merger ------> side rows

A *patch* is a small block of pixels over two frames, flattened. The transformer mixes those of a frame. A *merger*
makes one row of each 2 x 2 block. An item's patches come in merge order (frame by frame, block by block, row by row
inside a block), so that what a merger reads lies together. Deepstack mergers do the same with the output of earlier
layers; their rows are added inside deeper layers of the language model.

Bits. The rows of an item must not depend on what else is in the call (NUM-001), bit for bit. Three things see to it:

- **Row floor.** A matrix product may add up the same products in another order when it has few rows (another kernel, or
  a sum split over cores). So every linear pads its input with zero rows up to ``row_floor`` and drops them again. What
  is enough depends on device, library, threads, dtype and shape: ``plumbline.certify`` finds it. 1 claims nothing.
- **Segments.** Attention and GELU run segment by segment on operands of their own, so that the kernel depends on the
  segment alone. GELU, too: vectorised code treats the last elements of a tensor one by one, with functions that round
  differently, and which elements are last would depend on the other items.
- **Grids.** Positions are computed for each item from its own grid.

The rest (layer norms, sums, products) gives a row the same bits wherever it lies, which certificates check, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from plumbline.interface import Encoded, Layout, Modality, Packed, PlumblineError, TowerSpec

EPS = 1e-6


class BadCheckpoint(PlumblineError):
    """The folder does not hold the configuration and weights of a Qwen3-VL vision tower."""


@dataclass(frozen=True)
class Config:
    """The fields of a vision configuration that the arithmetic needs, under their names in ``config.json``."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    in_channels: int
    patch_size: int
    temporal_patch_size: int
    spatial_merge_size: int
    out_hidden_size: int
    num_position_embeddings: int
    deepstack_visual_indexes: tuple[int, ...]
    rope_theta: float = 10_000.0

    @property
    def side(self) -> int:
        """Height and width of the stored table of positions."""
        return math.isqrt(self.num_position_embeddings)

    def linears(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of every linear, by name."""
        hidden, merged = self.hidden_size, self.hidden_size * self.spatial_merge_size**2
        found = {"patch_embed.proj": (hidden, self.in_channels * self.temporal_patch_size * self.patch_size**2)}
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
        """The shape of every weight, by its name in a checkpoint."""
        found: dict[str, tuple[int, ...]] = {"pos_embed.weight": (self.num_position_embeddings, self.hidden_size)}
        norms = {f"{merger}.norm": self.hidden_size * self.spatial_merge_size**2 for merger in self._mergers()}
        norms |= {f"blocks.{layer}.norm{n}": self.hidden_size for layer in range(self.depth) for n in (1, 2)}
        norms["merger.norm"] = self.hidden_size
        for name, size in norms.items():
            found |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
        for name, shape in self.linears().items():
            found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        # Stored as the weight of a convolution whose stride is its size: a linear over flattened patches.
        patch = (self.in_channels, self.temporal_patch_size, self.patch_size, self.patch_size)
        found["patch_embed.proj.weight"] = (self.hidden_size, *patch)
        return found

    def _mergers(self) -> list[str]:
        return ["merger", *(f"deepstack_merger_list.{level}" for level in range(len(self.deepstack_visual_indexes)))]


def load(
    folder: str | Path,
    *,
    image_token_id: int,
    video_token_id: int,
    vocab_size: int,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    epoch: int = 0,
    row_floor: int = 1,
) -> Qwen3VLTower:
    """The tower in ``folder``: ``config.json`` and ``*.safetensors``, of the vision tower alone or of the whole model.

    dtype: of weights, arithmetic and rows. The token ids and the vocabulary are the language model's.
    Raises BadCheckpoint: a file or field is missing, or a weight is missing, unexpected or of another shape.
    """
    folder = Path(folder)
    config = read_config(folder / "config.json")
    weights = read_weights(folder, config.shapes(), dtype, torch.device(device))
    places = {Modality.IMAGE: image_token_id, Modality.VIDEO: video_token_id}
    patch_shape = config.linears()["patch_embed.proj"][1:]
    spec = TowerSpec(
        name="qwen3-vl",
        hidden_size=config.out_hidden_size,
        side_levels=len(config.deepstack_visual_indexes),
        vocab_size=vocab_size,
        dtype=dtype,
        payload_dtypes=frozenset({torch.float32, torch.bfloat16, torch.float16, dtype}),
        layouts={mode: Layout(at, patch_shape, True, config.spatial_merge_size) for mode, at in places.items()},
    )
    return Qwen3VLTower(config, weights, spec, epoch, row_floor)


def read_config(path: Path) -> Config:
    """Raises BadCheckpoint."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"cannot be read: {error}", where=path.name) from error
    raw = raw.get("vision_config", raw)
    rope = raw.get("rope_parameters") or {}
    raw = {"rope_theta": rope.get("rope_theta", Config.rope_theta)} | raw
    if absent := [field.name for field in fields(Config) if field.name not in raw]:
        raise BadCheckpoint(f"no {', '.join(absent)}", where=path.name)
    raw["deepstack_visual_indexes"] = tuple(raw["deepstack_visual_indexes"])
    config = Config(**{field.name: raw[field.name] for field in fields(Config)})
    rules = {
        "hidden_act must be gelu_pytorch_tanh": raw.get("hidden_act") == "gelu_pytorch_tanh",
        "rope_type must be axial": rope.get("rope_type", "axial") in ("axial", "default"),
        "hidden_size must be a multiple of 4 * num_heads": config.hidden_size % (4 * config.num_heads) == 0,
        "num_position_embeddings must be a square": config.side**2 == config.num_position_embeddings,
        "deepstack_visual_indexes must be layers": set(config.deepstack_visual_indexes) <= set(range(config.depth)),
    }
    for rule, holds in rules.items():
        if not holds:
            raise BadCheckpoint(rule, where=path.name)
    return config


def read_weights(
    folder: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, device: torch.device
) -> dict[str, Tensor]:
    """The weights named in ``shapes`` from all safetensors files of ``folder``. Raises BadCheckpoint."""
    try:
        paths = sorted(folder.glob("*.safetensors"))
        files: list[Any] = [safe_open(path, framework="pt", device=str(device)) for path in paths]
    except (OSError, SafetensorError) as error:
        raise BadCheckpoint(f"cannot be read: {error}", where=folder.name) from error
    stored = {name: file for file in files for name in file.keys()}  # noqa: SIM118
    prefix = next((prefix for prefix in ("model.visual.", "visual.") if any(n.startswith(prefix) for n in stored)), "")
    stored = {name.removeprefix(prefix): file for name, file in stored.items() if name.startswith(prefix)}
    if missing := sorted(shapes.keys() - stored.keys()):
        raise BadCheckpoint(f"{len(missing)} weights missing: {', '.join(missing[:5])}", where=folder.name)
    if unexpected := sorted(stored.keys() - shapes.keys()):
        raise BadCheckpoint(f"{len(unexpected)} weights unexpected: {', '.join(unexpected[:5])}", where=folder.name)
    for name, file in stored.items():
        if (shape := tuple(file.get_slice(prefix + name).get_shape())) != shapes[name]:
            raise BadCheckpoint(f"shape {shape}, expected {shapes[name]}", where=name)
    return {name: file.get_tensor(prefix + name).to(dtype) for name, file in stored.items()}


class Qwen3VLTower:
    """``plumbline.interface.Tower``. row_floor: may be set at any time. linear_shapes: what a certificate sweeps.

    NUM-001, NUM-002, NUM-003.
    """

    def __init__(self, config: Config, weights: Mapping[str, Tensor], spec: TowerSpec, epoch: int, row_floor: int):
        self.config, self.spec, self.epoch, self.row_floor = config, spec, epoch, row_floor
        self.weights = {name: value.flatten(1) if value.ndim > 2 else value for name, value in weights.items()}
        self.device = self.weights["pos_embed.weight"].device
        self.linear_shapes = tuple(sorted(set(config.linears().values())))
        # Positions and softmax want at least float32, whatever the weights are stored in.
        self.wide = torch.promote_types(spec.dtype, torch.float32)

    @torch.no_grad()
    def __call__(self, packed: Packed) -> Encoded:
        """At least one item. rows and each of side: [P / merge**2, out_hidden_size]."""
        lengths: list[int] = packed.cu_seqlens.diff().tolist()
        places = [self.places(item.grid_thw) for item in packed.items if item.grid_thw is not None]
        learned, cos, sin = (torch.cat(parts) for parts in zip(*places, strict=True))

        x = self.linear(packed.patches.to(self.spec.dtype), "patch_embed.proj") + learned
        side = []
        for layer in range(self.config.depth):
            block = f"blocks.{layer}"
            x = x + self.attention(self.norm(x, f"{block}.norm1"), cos, sin, lengths, f"{block}.attn")
            x = x + self.mlp(self.norm(x, f"{block}.norm2"), lengths, f"{block}.mlp", "tanh")
            if layer in self.config.deepstack_visual_indexes:
                level = self.config.deepstack_visual_indexes.index(layer)
                side.append(self.merge(x, lengths, f"deepstack_merger_list.{level}", norm_after=True))
        return Encoded(self.merge(x, lengths, "merger", norm_after=False), tuple(side))

    def places(self, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Where an item's patches are: learned [P, hidden], and cos and sin [P, head / 2] for the rotation.

        Every frame has the same places: time is told to the language model, not to the tower.
        """
        frames, height, width = grid
        row, column = merge_order(height, width, self.config.spatial_merge_size)
        learned = self.learned(row, height, column, width).to(self.spec.dtype)
        # Angles are float32 constants that the weights were trained with, so they are float32 in wider towers, too.
        spread = self.config.hidden_size // self.config.num_heads // 2
        turns = 1.0 / self.config.rope_theta ** (torch.arange(0, spread, 2, dtype=torch.float32) / spread)
        angles = torch.cat([row[:, None] * turns, column[:, None] * turns], dim=1).to(self.device)
        cos, sin = angles.cos().to(self.wide), angles.sin().to(self.wide)
        return learned.repeat(frames, 1), cos.repeat(frames, 1), sin.repeat(frames, 1)

    def learned(self, row: Tensor, height: int, column: Tensor, width: int) -> Tensor:
        """The stored side x side table, stretched over the grid corner to corner: bilinear, [len(row), hidden]."""
        (top, bottom, down), (left, right, across) = self.between(row, height), self.between(column, width)
        table = self.weights["pos_embed.weight"].to(self.wide).view(self.config.side, self.config.side, -1)
        corners = (
            (top, left, (1 - down) * (1 - across)),
            (top, right, (1 - down) * across),
            (bottom, left, down * (1 - across)),
            (bottom, right, down * across),
        )
        return torch.stack([table[y, x] * share.to(table)[:, None] for y, x, share in corners]).sum(0)

    def between(self, index: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """The two stored places on either side of ``index`` of ``size``, and the share of the second."""
        at = index.double() * (self.config.side - 1) / max(size - 1, 1)
        low = at.long()
        return low, (low + 1).clamp(max=self.config.side - 1), at - low

    def attention(self, x: Tensor, cos: Tensor, sin: Tensor, lengths: list[int], name: str) -> Tensor:
        """Each patch looks at all patches of its own segment."""
        heads = self.config.num_heads
        qkv = self.linear(x, f"{name}.qkv").view(len(x), 3, heads, -1)
        mixed = []
        for part, c, s in zip(*(torch.split(t, lengths) for t in (qkv, cos, sin)), strict=True):
            # contiguous(): fresh memory, so that where the segment lay in the call cannot matter to a kernel.
            q, k, v = part.permute(1, 2, 0, 3).contiguous()
            q, k = rotate(q, c, s), rotate(k, c, s)
            scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
            shares = scores.softmax(-1, dtype=self.wide).to(x.dtype)
            mixed.append((shares @ v).transpose(0, 1).flatten(1))
        return self.linear(torch.cat(mixed), f"{name}.proj")

    def mlp(self, x: Tensor, lengths: list[int], name: str, approximate: str) -> Tensor:
        """Two linears with a GELU between them. lengths: of the segments, in rows of ``x``."""
        x = self.linear(x, f"{name}.linear_fc1")
        x = torch.cat([F.gelu(part, approximate=approximate) for part in torch.split(x, lengths)])
        return self.linear(x, f"{name}.linear_fc2")

    def merge(self, x: Tensor, lengths: list[int], name: str, norm_after: bool) -> Tensor:
        """One row out of each merge x merge patches. norm_after: normalises four joined patches, not each patch."""
        block = self.config.spatial_merge_size**2
        x = x if norm_after else self.norm(x, f"{name}.norm")
        x = x.reshape(len(x) // block, -1)
        x = self.norm(x, f"{name}.norm") if norm_after else x
        return self.mlp(x, [length // block for length in lengths], name, "none")

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], EPS)

    def linear(self, x: Tensor, name: str) -> Tensor:
        """x @ weight.T + bias, with never fewer than ``row_floor`` rows in the product (see the top of the file)."""
        padded = F.pad(x, (0, 0, 0, max(0, self.row_floor - len(x))))
        return F.linear(padded, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])[: len(x)]


def merge_order(height: int, width: int, merge: int) -> tuple[Tensor, Tensor]:
    """Row and column of each patch of a frame, in the order of the payload: two int64 [height * width]."""
    frame = torch.arange(height * width).view(height // merge, merge, width // merge, merge)
    order = frame.transpose(1, 2).flatten()
    return order // width, order % width


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns pairs of a head's numbers (one from each half) by the angles of the patch's place. x: [heads, n, head]."""
    first, second = x.to(cos.dtype).chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)
