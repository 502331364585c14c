"""Kimi-K2.5's checkpoints as they are published: other names than those of transformers, and one linear for queries, keys
and values. The tower reads the latter's names; here they are found in the former."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optimized.towers.weights import Read

CONFIGURED = {
    "num_hidden_layers": "vt_num_hidden_layers",
    "hidden_size": "vt_hidden_size",
    "intermediate_size": "vt_intermediate_size",
    "num_attention_heads": "vt_num_attention_heads",
    "pos_emb_height": "init_pos_emb_height",
    "pos_emb_width": "init_pos_emb_width",
    "pos_emb_time": "init_pos_emb_time",
    "projection_layer_norm_eps": "projector_ln_eps",
}
"""Fields of the vision configuration, as published."""

NAMED = {
    r"vision_tower\.layers": "vision_tower.encoder.blocks",
    r"vision_tower\.final_layernorm": "vision_tower.encoder.final_layernorm",
    r"position_embeddings": "weight",
    r"norm1": "norm0",
    r"norm2": "norm1",
    r"attn\.proj": "wo",
    r"attn\.[qkv]_proj": "wqkv",
    r"mlp\.fc1": "mlp.fc0",
    r"mlp\.fc2": "mlp.fc1",
    r"mm_projector\.in_proj": "mm_projector.proj.0",
    r"mm_projector\.out_proj": "mm_projector.proj.2",
}
"""Parts of the names of weights, as published. All are looked for at once: what one becomes is what another was."""

ANY = re.compile("|".join(rf"\b({part})\b" for part in NAMED))

PARTS = ("q_proj", "k_proj", "v_proj")


def is_published(name: str) -> bool:
    return "vision_tower.encoder." in name


def published(name: str) -> str:
    return ANY.sub(lambda match: list(NAMED.values())[(match.lastindex or 0) - 1], name)


def published_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Of all weights, by their published names."""
    return {published(name): (3 * shape[0], *shape[1:]) if is_part(name) else shape for name, shape in shapes.items()}


def is_part(name: str) -> bool:
    return any(f".{part}." in name for part in PARTS)


def from_published(read: Read, heads: int) -> Read:
    """Reads by the names of transformers what is stored under published ones."""

    def renamed(name: str) -> Tensor:
        whole = read(published(name))
        if not is_part(name):
            return whole
        index = next(index for index, part in enumerate(PARTS) if f".{part}." in name)
        rows = whole.chunk(3)[index]
        return rows if index == 2 else halves(rows, heads)

    return renamed


def halves(rows: Tensor, heads: int) -> Tensor:
    """Published pairs that turn together are neighbours; those of transformers have one number in each half of a head."""
    return rows.view(heads, -1, 2, *rows.shape[1:]).transpose(1, 2).flatten(0, 2)


def renamed_fields(vision: Mapping[str, Any]) -> dict[str, Any]:
    """The vision configuration under the names of transformers. Published ones do not name the activation."""
    named = {new: vision[old] for new, old in CONFIGURED.items() if old in vision}
    return {"hidden_act": "gelu_pytorch_tanh", **vision, **named} if named else dict(vision)
