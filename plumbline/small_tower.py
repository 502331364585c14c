"""Small checkpoints of every family, whose weights come from a formula, so that every machine reads the same bits.

    folder = checkpoint(tmp_path)                     # config.json and model.safetensors, Hugging Face names: Qwen3-VL
    folder = checkpoint(tmp_path, depth=5, deepstack_visual_indexes=[1, 3], prefix="model.visual.")
    folder = checkpoint(tmp_path, family="kimi_k25", hidden_size=96)

Small on purpose: a call with a hundred patches takes milliseconds on one core. And odd: windows that the frame cuts off,
tables that are stretched and shrunk, numbers of heads and of pairs in a head that are no powers of two.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Sizes = Mapping[str, Any]
Weights = Iterator[tuple[str, Tensor]]


def values(shape: Sequence[int], name: str) -> Tensor:
    """float32 ``shape``, spread evenly over [-1, 1), the same on every machine. Another name gives other values.

    A hash of the position, not a sine of it: a matrix of equidistant sines has rank two and would test very little.
    """
    x = torch.arange(math.prod(shape), dtype=torch.int64) + zlib.crc32(name.encode())
    for _ in range(3):
        x = ((x ^ (x >> 16)) * 0x045D9F3B) & 0xFFFFFFFF
    return ((x >> 8).double() / 2**23 - 1).float().view(tuple(shape))


def _linear(name: str, outs: int, ins: int) -> Weights:
    """Weights that keep the variance of their input, so that activations neither vanish nor explode with depth."""
    yield f"{name}.weight", values((outs, ins), f"{name}.weight") * math.sqrt(3 / ins)
    yield f"{name}.bias", values((outs,), f"{name}.bias") * 0.1


def _patches(name: str, outs: int, *pixels: int) -> Weights:
    """A linear over patches, whose weight is stored as that of a convolution."""
    for part, value in _linear(name, outs, math.prod(pixels)):
        yield part, value.view(outs, *pixels) if value.ndim > 1 else value


def _scale(name: str, size: int) -> Weights:
    yield f"{name}.weight", 1 + 0.1 * values((size,), f"{name}.weight")


def _norm(name: str, size: int) -> Weights:
    yield from _scale(name, size)
    yield f"{name}.bias", 0.1 * values((size,), f"{name}.bias")


# ------------------------------------------------------------------------------------------------------------ families


def _qwen3_vl(sizes: Sizes) -> Weights:
    hidden, inner, side = sizes["hidden_size"], sizes["intermediate_size"], sizes["patch_size"]
    merged = hidden * sizes["spatial_merge_size"] ** 2
    yield from _patches("patch_embed.proj", hidden, sizes["in_channels"], sizes["temporal_patch_size"], side, side)
    yield "pos_embed.weight", 0.5 * values((sizes["num_position_embeddings"], hidden), "pos_embed.weight")
    for block in (f"blocks.{layer}" for layer in range(sizes["depth"])):
        yield from _norm(f"{block}.norm1", hidden)
        yield from _linear(f"{block}.attn.qkv", 3 * hidden, hidden)
        yield from _linear(f"{block}.attn.proj", hidden, hidden)
        yield from _norm(f"{block}.norm2", hidden)
        yield from _linear(f"{block}.mlp.linear_fc1", inner, hidden)
        yield from _linear(f"{block}.mlp.linear_fc2", hidden, inner)
    levels = range(len(sizes["deepstack_visual_indexes"]))
    for merger, normed in (("merger", hidden), *((f"deepstack_merger_list.{level}", merged) for level in levels)):
        yield from _norm(f"{merger}.norm", normed)
        yield from _linear(f"{merger}.linear_fc1", merged, merged)
        yield from _linear(f"{merger}.linear_fc2", sizes["out_hidden_size"], merged)


def _qwen2_5_vl(sizes: Sizes) -> Weights:
    hidden, inner, side = sizes["hidden_size"], sizes["intermediate_size"], sizes["patch_size"]
    merged = hidden * sizes["spatial_merge_size"] ** 2
    weight, _bias = _patches("patch_embed.proj", hidden, sizes["in_channels"], sizes["temporal_patch_size"], side, side)
    yield weight
    for block in (f"blocks.{layer}" for layer in range(sizes["depth"])):
        yield from _scale(f"{block}.norm1", hidden)
        yield from _linear(f"{block}.attn.qkv", 3 * hidden, hidden)
        yield from _linear(f"{block}.attn.proj", hidden, hidden)
        yield from _scale(f"{block}.norm2", hidden)
        yield from _linear(f"{block}.mlp.gate_proj", inner, hidden)
        yield from _linear(f"{block}.mlp.up_proj", inner, hidden)
        yield from _linear(f"{block}.mlp.down_proj", hidden, inner)
    yield from _scale("merger.ln_q", hidden)
    yield from _linear("merger.mlp.0", merged, merged)
    yield from _linear("merger.mlp.2", sizes["out_hidden_size"], merged)


def _kimi_k25(sizes: Sizes) -> Weights:
    hidden, inner, side = sizes["hidden_size"], sizes["intermediate_size"], sizes["patch_size"]
    merged = hidden * math.prod(sizes["merge_kernel_size"])
    yield from _patches("vision_tower.patch_embed.proj", hidden, 3, side, side)
    table = "vision_tower.patch_embed.pos_emb.position_embeddings"
    yield table, 0.5 * values((sizes["pos_emb_height"], sizes["pos_emb_width"], hidden), table)
    for layer in (f"vision_tower.layers.{layer}" for layer in range(sizes["num_hidden_layers"])):
        yield from _norm(f"{layer}.norm1", hidden)
        for part in ("q_proj", "k_proj", "v_proj", "proj"):
            yield from _linear(f"{layer}.attn.{part}", hidden, hidden)
        yield from _norm(f"{layer}.norm2", hidden)
        yield from _linear(f"{layer}.mlp.fc1", inner, hidden)
        yield from _linear(f"{layer}.mlp.fc2", hidden, inner)
    yield from _norm("vision_tower.final_layernorm", hidden)
    yield from _norm("mm_projector.pre_norm", hidden)
    yield from _linear("mm_projector.in_proj", merged, merged)
    yield from _linear("mm_projector.out_proj", sizes["text_hidden_size"], merged)


@dataclass(frozen=True)
class Family:
    """sizes: what can be chosen, and what it is if not. fixed: the rest of the vision configuration. weights: all of them.

    prefix: of the names of weights in a whole model, as transformers has them.
    """

    sizes: Sizes
    fixed: Sizes
    weights: Callable[[Sizes], Weights]
    prefix: str


FAMILIES = {
    "qwen3_vl": Family(
        {
            "depth": 3,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "in_channels": 3,
            "patch_size": 16,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": 48,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        {"hidden_act": "gelu_pytorch_tanh"},
        _qwen3_vl,
        "model.visual.",
    ),
    "qwen2_5_vl": Family(
        {
            "depth": 4,
            "hidden_size": 60,
            "intermediate_size": 100,
            "num_heads": 3,
            "in_channels": 3,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "window_size": 84,
            "fullatt_block_indexes": [1, 3],
            "out_hidden_size": 48,
        },
        {"hidden_act": "silu"},
        _qwen2_5_vl,
        "model.visual.",
    ),
    "kimi_k25": Family(
        {
            "num_hidden_layers": 3,
            "hidden_size": 72,
            "intermediate_size": 100,
            "num_attention_heads": 3,
            "patch_size": 14,
            "merge_kernel_size": [2, 2],
            "pos_emb_height": 8,
            "pos_emb_width": 8,
            "pos_emb_time": 8,
            "text_hidden_size": 48,
        },
        {"hidden_act": "gelu_pytorch_tanh"},
        _kimi_k25,
        "model.",
    ),
}
"""By the ``model_type`` of a whole model."""


def checkpoint(folder: str | Path, prefix: str = "", family: str = "qwen3_vl", **sizes: object) -> Path:
    """Writes ``config.json`` and ``model.safetensors`` (float32) into ``folder`` and returns it.

    sizes: those that differ from the family's. prefix: put before every weight's name. With a prefix, as in the checkpoint
    of a whole model, the vision configuration is a part of the file. Kimi-K2.5's always is, since its projector is none of
    its tower's.
    """
    kind = FAMILIES[family]
    if unknown := sizes.keys() - kind.sizes.keys():
        raise TypeError(f"no such size: {', '.join(sorted(unknown))}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chosen: dict[str, Any] = {**kind.sizes, **sizes}
    weights = {prefix + name: value.contiguous() for name, value in kind.weights(chosen)}
    vision = {"model_type": f"{family}_vision", **kind.fixed, **chosen}
    whole: dict[str, Any] = {"model_type": family, "vision_config": vision}
    if family == "kimi_k25":
        text = {"model_type": "deepseek_v3", "hidden_size": vision.pop("text_hidden_size")}
        whole |= {"text_config": text, "projection_hidden_size": chosen["hidden_size"]}
    config = whole if prefix or family == "kimi_k25" else vision
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
