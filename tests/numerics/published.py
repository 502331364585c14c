"""Kimi-K2.5 as it is published: other names than in transformers, and neighbours of a head's numbers are turned together."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


def publish(folder: Path) -> Path:
    """Rewrites the weights of a checkpoint under published names, with one linear for queries, keys and values."""
    heads = json.loads((folder / "config.json").read_text())["vision_config"]["num_attention_heads"]

    def neighbours(rows: Tensor) -> Tensor:
        first, second = rows.unflatten(0, (heads, 2, -1)).unbind(1)
        return torch.stack([first, second], dim=2).flatten(0, 2)

    raw, found = load_file(folder / "model.safetensors"), {}
    for name, weight in raw.items():
        name = re.sub(r"layers\.(\d+)\.norm(\d)", lambda m: f"encoder.blocks.{m[1]}.norm{int(m[2]) - 1}", name)
        name = re.sub(r"layers\.(\d+)\.mlp\.fc(\d)", lambda m: f"encoder.blocks.{m[1]}.mlp.fc{int(m[2]) - 1}", name)
        name = re.sub(r"layers\.(\d+)\.attn\.proj", r"encoder.blocks.\1.wo", name)
        name = name.replace("in_proj", "proj.0").replace("out_proj", "proj.2")
        name = name.replace("final_layernorm", "encoder.final_layernorm")
        found[name.replace("position_embeddings", "weight")] = weight
    for name in [name for name in found if "q_proj" in name]:
        q, k, v = (found.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj"))
        fused = re.sub(r"layers\.(\d+)\.attn\.q_proj", r"encoder.blocks.\1.wqkv", name)
        found[fused] = torch.cat([neighbours(q), neighbours(k), v])
    save_file(found, folder / "model.safetensors", {"format": "pt"})
    return folder


FIELDS = {
    **{name: f"vt_{name}" for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")},
    **{name: f"init_{name}" for name in ("pos_emb_height", "pos_emb_width", "pos_emb_time")},
}


def rename_fields(folder: Path) -> Path:
    """Gives the vision configuration its published names. The activation is not named there, the epsilon is."""
    whole = json.loads((folder / "config.json").read_text())
    vision = {FIELDS.get(name, name): value for name, value in whole["vision_config"].items() if name != "hidden_act"}
    whole["vision_config"] = vision | {"projector_ln_eps": 1e-5}
    (folder / "config.json").write_text(json.dumps(whole))
    return folder
