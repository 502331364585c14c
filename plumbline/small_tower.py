"""A small Qwen3-VL checkpoint whose weights come from a formula, so that every machine and library reads the same bits.

    folder = checkpoint(tmp_path)                     # config.json and model.safetensors, Hugging Face names
    folder = checkpoint(tmp_path, depth=5, deepstack_visual_indexes=[1, 3], prefix="model.visual.")

Small on purpose: a call with a hundred patches takes milliseconds on one core.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

SIZES: dict[str, object] = {
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
}
FIXED: dict[str, object] = {"model_type": "qwen3_vl_vision", "hidden_act": "gelu_pytorch_tanh"}


def values(shape: Sequence[int], name: str) -> Tensor:
    """float32 ``shape``, spread evenly over [-1, 1), the same on every machine. Another name gives other values.

    A hash of the position, not a sine of it: a matrix of equidistant sines has rank two and would test very little.
    """
    x = torch.arange(math.prod(shape), dtype=torch.int64) + zlib.crc32(name.encode())
    for _ in range(3):
        x = ((x ^ (x >> 16)) * 0x045D9F3B) & 0xFFFFFFFF
    return ((x >> 8).double() / 2**23 - 1).float().view(tuple(shape))


def _linear(name: str, outs: int, ins: int) -> Iterator[tuple[str, Tensor]]:
    """Weights that keep the variance of their input, so that activations neither vanish nor explode with depth."""
    yield f"{name}.weight", values((outs, ins), f"{name}.weight") * math.sqrt(3 / ins)
    yield f"{name}.bias", values((outs,), f"{name}.bias") * 0.1


def _norm(name: str, size: int) -> Iterator[tuple[str, Tensor]]:
    yield f"{name}.weight", 1 + 0.1 * values((size,), f"{name}.weight")
    yield f"{name}.bias", 0.1 * values((size,), f"{name}.bias")


def _weights(sizes: dict[str, object]) -> Iterator[tuple[str, Tensor]]:
    def size(key: str) -> int:
        value = sizes[key]
        assert isinstance(value, int)
        return value

    hidden, inner = size("hidden_size"), size("intermediate_size")
    merged = hidden * size("spatial_merge_size") ** 2
    pixels = (size("in_channels"), size("temporal_patch_size"), size("patch_size"), size("patch_size"))
    for name, value in _linear("patch_embed.proj", hidden, math.prod(pixels)):
        yield name, value.view(hidden, *pixels) if name.endswith("weight") else value
    yield "pos_embed.weight", 0.5 * values((size("num_position_embeddings"), hidden), "pos_embed.weight")
    for layer in range(size("depth")):
        block = f"blocks.{layer}"
        yield from _norm(f"{block}.norm1", hidden)
        yield from _linear(f"{block}.attn.qkv", 3 * hidden, hidden)
        yield from _linear(f"{block}.attn.proj", hidden, hidden)
        yield from _norm(f"{block}.norm2", hidden)
        yield from _linear(f"{block}.mlp.linear_fc1", inner, hidden)
        yield from _linear(f"{block}.mlp.linear_fc2", hidden, inner)
    levels = sizes["deepstack_visual_indexes"]
    assert isinstance(levels, list)
    mergers = [("merger", hidden), *((f"deepstack_merger_list.{level}", merged) for level in range(len(levels)))]
    for merger, normed in mergers:
        yield from _norm(f"{merger}.norm", normed)
        yield from _linear(f"{merger}.linear_fc1", merged, merged)
        yield from _linear(f"{merger}.linear_fc2", size("out_hidden_size"), merged)


def checkpoint(folder: str | Path, prefix: str = "", **sizes: object) -> Path:
    """Writes ``config.json`` and ``model.safetensors`` (float32) into ``folder`` and returns it.

    sizes: fields of the vision configuration that differ from ``SIZES``. prefix: put before every weight's name; a full
    checkpoint has "model.visual.", and then the vision configuration is a part of the file, as it is there.
    """
    if unknown := sizes.keys() - SIZES.keys():
        raise TypeError(f"no such size: {', '.join(sorted(unknown))}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = SIZES | sizes
    vision = FIXED | chosen
    config = {"model_type": "qwen3_vl", "vision_config": vision} if prefix else vision
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    weights = {prefix + name: value.contiguous() for name, value in _weights(chosen)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
