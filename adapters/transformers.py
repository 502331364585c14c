"""Hugging Face transformers' vision towers behind ``plumbline.interface.Tower``: its own classes, loaded by its own loader.

    tower = load(folder, image_token_id=151655, video_token_id=151656, vocab_size=151936, attention="sdpa")

Qwen2-VL, Qwen2.5-VL (window attention) and Qwen3-VL (side rows). One tower call is one forward over all packed items:
patches, grids and attention segments are those of the packing, the order of windows is transformers' own affair. An
encoder of one item per call needs nothing from here: the reference's encoder calls any tower so.

**Does batching change rows?** These towers have no row floor that could be set, so they get no certificate, and a claim
of NUM-001 for all sizes cannot be had. What can be asked is which of some items have other bits in company than alone:

    from plumbline.certify import changed_in_company, sample_items
    items = sample_items(tower)
    changed = [items[place].items[0].grid_thw for place in changed_in_company(tower, items)]
    print(f"{tower.spec.name}: {changed or 'no item'} changed in company")

The answer holds for these sizes, in this dtype, with this attention, on this device. Around a tower that changes rows,
implementations that batch differently differ in bits, so rows are comparable only within a bound. Two causes were seen
on a CPU: a linear of very few rows rounds otherwise, and so does an activation for the last elements of a tensor where
they do not fill a whole step of its vectorised loop. So no number of rows has to be enough.

Not here: Kimi-K2.5. Its rows come out of a projector outside the tower, its frames attend to each other, and a clip has
the rows of one frame; a ``Layout`` cannot say the last two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from plumbline.interface import Encoded, Layout, Modality, Packed, PlumblineError, TowerSpec

MODELS: dict[str, Any] = {
    "qwen2_vl_vision": Qwen2VisionTransformerPretrainedModel,
    "qwen2_5_vl_vision": Qwen2_5_VisionTransformerPretrainedModel,
    "qwen3_vl_vision": Qwen3VLVisionModel,
}
"""By ``model_type`` of a vision configuration."""

INSIDE_A_WHOLE_MODEL = r"^(model\.)?visual\."
"""What comes before a weight's name there."""


class BadCheckpoint(PlumblineError):
    """The folder does not hold the configuration and all weights of one of ``MODELS``."""


def load(
    folder: str | Path,
    *,
    image_token_id: int,
    video_token_id: int,
    vocab_size: int,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    attention: str = "sdpa",
    epoch: int = 0,
) -> TransformersTower:
    """The tower in ``folder``: ``config.json`` and ``*.safetensors``, of the vision tower alone or of the whole model.

    dtype: of weights, arithmetic and rows. attention: "sdpa", "eager", or another that transformers has here. The token ids
    and the vocabulary are the language model's. Raises BadCheckpoint.
    """
    try:
        whole = AutoConfig.from_pretrained(folder, local_files_only=True)
        config = getattr(whole, "vision_config", whole)
        if config.model_type not in MODELS:
            raise BadCheckpoint(f"model_type {config.model_type}, not one of {', '.join(MODELS)}", where="config.json")
        model, found = MODELS[config.model_type].from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            key_mapping={INSIDE_A_WHOLE_MODEL: ""},
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise BadCheckpoint(f"cannot be loaded: {error}", where=str(folder)) from error
    # transformers draws a missing weight at random, and passes over one that it does not expect.
    parts = {name for name, _ in model.named_children()}
    unexpected = {name for name in found["unexpected_keys"] if whole is config or name.split(".")[0] in parts}
    for what, names in {"missing": found["missing_keys"], "unexpected": unexpected}.items():
        if names:
            some = ", ".join(sorted(names)[:5])
            raise BadCheckpoint(f"{len(names)} weights {what}: {some}", where=str(folder))

    patch_shape = (model.patch_embed.proj.weight[0].numel(),)
    places = {Modality.IMAGE: image_token_id, Modality.VIDEO: video_token_id}
    spec = TowerSpec(
        name=f"transformers {config.model_type} {attention}",
        # Qwen2-VL calls the language model's size hidden_size, and its own embed_dim.
        hidden_size=getattr(config, "out_hidden_size", config.hidden_size),
        side_levels=len(getattr(config, "deepstack_visual_indexes", ())),
        vocab_size=vocab_size,
        dtype=dtype,
        payload_dtypes=frozenset({torch.float32, torch.bfloat16, torch.float16, dtype}),
        layouts={mode: Layout(at, patch_shape, True, config.spatial_merge_size) for mode, at in places.items()},
    )
    return TransformersTower(model.to(device).requires_grad_(False), spec, epoch)


class TransformersTower:
    """``plumbline.interface.Tower``. model: transformers', in eval mode. Whether it keeps NUM-001 is to be asked."""

    def __init__(self, model: Any, spec: TowerSpec, epoch: int) -> None:
        self.model, self.spec, self.epoch = model, spec, epoch

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @torch.no_grad()
    def __call__(self, packed: Packed) -> Encoded:
        """At least one item, all with grids. rows and each of side: [P / merge**2, hidden_size]."""
        found = self.model(
            packed.patches,
            grid_thw=torch.tensor([item.grid_thw for item in packed.items], device=self.device),
            cu_seqlens=packed.cu_seqlens.to(self.device, torch.int32),
        )
        return Encoded(found.pooler_output, tuple(getattr(found, "deepstack_features", ())))
