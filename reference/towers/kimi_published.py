"""Kimi-K2.5 as it is published: other names than in transformers, and one linear for queries, keys and values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

FIELDS = {
    "vt_num_hidden_layers": "num_hidden_layers",
    "vt_hidden_size": "hidden_size",
    "vt_intermediate_size": "intermediate_size",
    "vt_num_attention_heads": "num_attention_heads",
    "init_pos_emb_height": "pos_emb_height",
    "init_pos_emb_width": "pos_emb_width",
    "init_pos_emb_time": "pos_emb_time",
    "projector_ln_eps": "projection_layer_norm_eps",
}
"""Of the vision configuration: published, and in transformers."""

PARTS = {
    "encoder.blocks": "layers",
    "encoder.final_layernorm": "final_layernorm",
    "pos_emb.weight": "pos_emb.position_embeddings",
    "norm0": "norm1",
    "norm1": "norm2",
    "wo": "attn.proj",
    "mlp.fc0": "mlp.fc1",
    "mlp.fc1": "mlp.fc2",
    "mm_projector.proj.0": "mm_projector.in_proj",
    "mm_projector.proj.2": "mm_projector.out_proj",
}
"""Of the names of weights: published, and in transformers."""


def renamed_fields(vision: Mapping[str, Any]) -> dict[str, Any]:
    """A vision configuration under the names of transformers. The activation is not named where it is published."""
    return {"hidden_act": "gelu_pytorch_tanh"} | {FIELDS.get(name, name): value for name, value in vision.items()}


def renamed_weights(weights: Mapping[str, Tensor], heads: int) -> dict[str, Tensor]:
    """Weights under the names of transformers, which those have already that are not published ones."""
    if not any(".encoder." in name for name in weights):
        return dict(weights)
    any_part = re.compile("|".join(rf"\b{re.escape(part)}\b" for part in PARTS))
    found = {}
    for published, weight in weights.items():
        name = any_part.sub(lambda match: PARTS[match[0]], published)
        if ".wqkv." not in name:
            found[name] = weight
            continue
        q, k, v = weight.chunk(3)
        for part, value in {"q_proj": halved(q, heads), "k_proj": halved(k, heads), "v_proj": v}.items():
            found[name.replace(".wqkv.", f".attn.{part}.")] = value
    return found


def halved(rows: Tensor, heads: int) -> Tensor:
    """Published weights turn neighbours of a head's numbers; here a pair is one from each half. [hidden, ...], any rest."""
    return rows.view(heads, -1, 2, *rows.shape[1:]).transpose(1, 2).flatten(0, 2)
