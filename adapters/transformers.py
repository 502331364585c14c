"""Hugging Face transformers' vision towers behind ``plumbline.interface.Tower``: its own classes, loaded by its own loader.

    tower = load(folder, image_token_id=151655, video_token_id=151656, vocab_size=151936, attention="sdpa")

Qwen2-VL, Qwen2.5-VL (window attention), Qwen3-VL (side rows) and Kimi-K2.5 (pooled frames; tower and projector, from the
checkpoint of the whole model). One tower call is one forward over all packed items: patches, grids and attention segments
are those of the packing, the order of windows is transformers' own affair. Kimi-K2.5's is one forward for each run of
neighbours with the same number of frames, since transformers 5.23 pools no others together. An encoder of one item per
call needs nothing from here: the reference's encoder calls any tower so.

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
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from plumbline import resolve
from plumbline.interface import BadCheckpoint, Encoded, Layout, Modality, Packed, TowerSpec

MODELS = {
    "qwen2_vl_vision": "transformers.models.qwen2_vl.modeling_qwen2_vl:Qwen2VisionTransformerPretrainedModel",
    "qwen2_5_vl_vision": "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl:Qwen2_5_VisionTransformerPretrainedModel",
    "qwen3_vl_vision": "transformers.models.qwen3_vl.modeling_qwen3_vl:Qwen3VLVisionModel",
    "kimi_k25": "adapters.transformers_kimi:KimiK25Vision",
}
"""By ``model_type`` of a vision configuration, or of a whole model's."""

INSIDE_A_WHOLE_MODEL = r"^(model\.)?visual\."
"""What comes before a weight's name there."""


def model_class(model_type: str) -> Any:
    """The class of one of ``MODELS``. Raises SpecError: this release of transformers does not have it."""
    return resolve.load(MODELS[model_type])


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
    and the vocabulary are the language model's. Raises BadCheckpoint: not all weights of one of ``MODELS`` are there.
    """
    try:
        whole = AutoConfig.from_pretrained(folder, local_files_only=True)
        config = whole if whole.model_type in MODELS else getattr(whole, "vision_config", whole)
        if config.model_type not in MODELS:
            raise BadCheckpoint(f"model_type {config.model_type}, not one of {', '.join(MODELS)}", where="config.json")
        model, found = model_class(config.model_type).from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            key_mapping={INSIDE_A_WHOLE_MODEL: ""},
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, resolve.SpecError) as error:
        raise BadCheckpoint(f"cannot be loaded: {error}", where=str(folder)) from error
    # transformers draws a missing weight at random, and passes over one that it does not expect.
    parts = {name for name, _ in model.named_children()}
    alone = whole is config and whole.model_type != "kimi_k25"
    unexpected = {name for name in found["unexpected_keys"] if alone or name.split(".")[0] in parts}
    for what, names in {"missing": found["missing_keys"], "unexpected": unexpected}.items():
        if names:
            some = ", ".join(sorted(names)[:5])
            raise BadCheckpoint(f"{len(names)} weights {what}: {some}", where=str(folder))

    places = {Modality.IMAGE: image_token_id, Modality.VIDEO: video_token_id}
    spec = TowerSpec(
        name=f"transformers {config.model_type} {attention}",
        hidden_size=row_size(model),
        side_levels=len(getattr(config, "deepstack_visual_indexes", ())),
        vocab_size=vocab_size,
        dtype=dtype,
        payload_dtypes=frozenset({torch.float32, torch.bfloat16, torch.float16, dtype}),
        layouts={modality: layout(model, placeholder) for modality, placeholder in places.items()},
    )
    return TransformersTower(model.to(device).requires_grad_(False), spec, epoch)


def row_size(model: Any) -> int:
    """The language model's hidden size."""
    if model.config.model_type == "kimi_k25":
        return int(model.mm_projector.out_proj.out_features)
    # Qwen2-VL calls the language model's size hidden_size, and its own embed_dim.
    return int(getattr(model.config, "out_hidden_size", model.config.hidden_size))


def layout(model: Any, placeholder: int) -> Layout:
    """Kimi-K2.5's patches are not flattened, and its clips have the rows of one frame."""
    if model.config.model_type == "kimi_k25":
        patch = tuple(model.vision_tower.patch_embed.proj.weight[0].shape)
        return Layout(placeholder, patch, True, model.config.vision_config.merge_kernel_size[0], pools_frames=True)
    return Layout(placeholder, (model.patch_embed.proj.weight[0].numel(),), True, model.config.spatial_merge_size)


class TransformersTower:
    """``plumbline.interface.Tower``. model: transformers', in eval mode. Whether it keeps NUM-001 is to be asked."""

    def __init__(self, model: Any, spec: TowerSpec, epoch: int) -> None:
        self.model, self.spec, self.epoch = model, spec, epoch

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @torch.no_grad()
    def __call__(self, packed: Packed) -> Encoded:
        """At least one item, all with grids. rows and each of side: [R, hidden_size], R as the layout says."""
        found = self.model(
            packed.patches.to(self.spec.dtype),
            grid_thw=torch.tensor([item.grid_thw for item in packed.items], device=self.device),
            cu_seqlens=packed.cu_seqlens.to(self.device, torch.int32),
        )
        return Encoded(found.pooler_output, tuple(getattr(found, "deepstack_features", ())))
